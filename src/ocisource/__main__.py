"""`python -m ocisource`, and the command: interrupts are heard before anything is imported."""

import sys

_INTERRUPTED = 130


def main() -> None:
    """Entry point of the command; an interrupt while its parts are imported ends it quietly."""
    try:
        from ocisource.cli import main as command  # noqa: PLC0415
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    command.main()


if __name__ == "__main__":
    main()
