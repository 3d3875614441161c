"""Malformed JSON is told by line and column, and not shown."""

import re

import msgspec
import pytest

from ocisource.net import jsontext


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b'{"a": "word"', "JSON is malformed|Input data was truncated"),
        (b'{"a": word}', r"\(line 1, column 7\)"),
        (b'{\n\n "a": "word",}', r"\(line 3, column 14\)"),
        (b'{"a": 1}', r"Expected `str`, got `int` - at `\$\[\.\.\.\]`"),
    ],
)
def test_the_place_is_told_and_no_word_of_the_text(content: bytes, place: str) -> None:
    """Lines and columns begin with 1, as editors count them."""
    with pytest.raises(msgspec.MsgspecError) as caught:
        msgspec.json.decode(content, type=dict[str, str])
    told = jsontext.fault(caught.value, content)
    assert re.search(place, told)
    assert "word" not in told
