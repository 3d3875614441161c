"""Measurements, each of them a ratio within one run: ``python -m benchmarks.{name}``."""
