"""The way to one host and back: connections, whom they may reach, and what is answered."""
