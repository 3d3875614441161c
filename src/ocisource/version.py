"""Which release this is; ``ocisource.__version__`` is the same."""

from typing import Final

VERSION: Final = "0.1.0"  # as in pyproject.toml; a test holds them together
