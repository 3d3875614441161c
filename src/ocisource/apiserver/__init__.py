"""An embedded, SQLite-backed, Kubernetes-compatible API server. Meets the rest over HTTP alone."""
