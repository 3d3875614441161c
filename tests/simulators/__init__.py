"""Small servers that speak the real protocols and fail on request."""
