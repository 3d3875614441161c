"""One machine without a cluster: up, the API alone, manifests from files."""
