"""Values and rules that are read from text: references, ranges of versions, manifests, headers."""
