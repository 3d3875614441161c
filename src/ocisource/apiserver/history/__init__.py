"""Objects at every revision: the data file, its one writer, and the feeds of watchers."""
