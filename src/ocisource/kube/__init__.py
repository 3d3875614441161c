"""The Kubernetes protocol as a client speaks it: configuration, requests, patches, events."""
