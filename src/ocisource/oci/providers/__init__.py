"""Cloud registries: whose a host is, and how a cloud's identity becomes a registry credential."""
