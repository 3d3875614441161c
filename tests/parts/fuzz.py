"""Counts for property and fuzz tests: few examples in every run, many with OCISOURCE_SOAK=1.

Example::

    @fuzz.counted()
    @hypothesis.given(text=strategies.text())
    def test_any_text_…(text: str) -> None: …
"""

import os
from collections.abc import Callable
from typing import TypeVar

import hypothesis
import pytest

_Test = TypeVar("_Test", bound=Callable[..., object])


def counted(*, full: int = 5_000, reduced: int = 100) -> Callable[[_Test], _Test]:
    """Mark a test for `make soak`, and give it ``full`` examples there, else ``reduced``."""
    count = full if os.environ.get("OCISOURCE_SOAK") == "1" else reduced

    def decorate(test: _Test) -> _Test:
        marked: _Test = pytest.mark.soak(hypothesis.settings(max_examples=count)(test))
        return marked

    return decorate
