"""Real programs that tests start on loopback: registries, proxies, an API server.

Each module knows one program: where it is found, which Debian package brings it, how it is
started, when it is ready, and how it is stopped. ``tests/conftest.py`` makes fixtures of them.
"""
