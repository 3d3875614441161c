"""The commands that tell what happens: events, logs, stats, trace."""
