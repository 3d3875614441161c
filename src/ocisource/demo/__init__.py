"""A loopback registry and an example to try the product with, no network needed."""
