"""The commands that declare, show and steer OCIRepositories."""
