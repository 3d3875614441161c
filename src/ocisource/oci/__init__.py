"""The OCI distribution protocol as a client speaks it: references, manifests, registries."""
