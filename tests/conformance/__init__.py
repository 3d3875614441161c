"""One suite over several subjects: ours and the real thing must answer alike."""
