"""A source controller for OCI repositories: Flux's OCIRepository API, with or without a cluster."""

__version__ = "0.1.0"
