"""Where artifacts live and how they are served: store, retention, file server."""
