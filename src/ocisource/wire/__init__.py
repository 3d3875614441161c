"""The Kubernetes grammar that both sides of the API need: names, selectors, durations, patches."""
