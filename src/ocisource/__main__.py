"""`python -m ocisource`."""

from ocisource.cli.main import main

main()
