"""The command line, in the grammar of flux."""
