"""Objects against their OpenAPI schema: types, defaults, pruning, and what a schema may be."""
