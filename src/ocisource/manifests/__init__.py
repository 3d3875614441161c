"""The Kubernetes manifests that ship with the product, as data."""
