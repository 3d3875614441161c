"""The commands that need a registry alone: push, pull, list, tag, diff, build."""
