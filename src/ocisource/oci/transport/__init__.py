"""Requests to one registry host for one tenant: authenticated, within its limits, tried again."""
