"""What Go programs say, which is what clients get to read: texts, times, refusals."""
