"""The OCIRepository API as values: metadata, conditions, artifact, spec and status."""
