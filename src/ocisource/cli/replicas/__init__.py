"""Clusters: one replica of the controller, and installing it."""
