"""Bodies: what is read, what is noticed, and the words of Go's decoder."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocisource import errors
from ocisource.apiserver.forms import bodies
from ocisource.apiserver.wording import gojson
from tests.parts import fuzz


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "unexpected end of JSON input"),
        ("{", "unexpected end of JSON input"),
        ('{"a"', "unexpected end of JSON input"),
        ('{"a" 1}', "invalid character '1' after object key"),
        ('{"a":1 "b"}', "invalid character '\"' after object key:value pair"),
        ("{'a':1}", r"invalid character '\'' looking for beginning of object key string"),
        ("[1 2]", "invalid character '2' after array element"),
        ("[1,]", "invalid character ']' looking for beginning of value"),
        ("1 2", "invalid character '2' after top-level value"),
        ("trux", "invalid character 'x' in literal true (expecting 'e')"),
        ("nil", "invalid character 'i' in literal null (expecting 'u')"),
        ("-x", "invalid character 'x' in numeric literal"),
        ("1.x", "invalid character 'x' after decimal point in numeric literal"),
        ("1ex", "invalid character 'x' in exponent of numeric literal"),
        ("01", "invalid character '1' after top-level value"),
        ('"\x01"', r"invalid character '\x01' in string literal"),
        (r'"\q"', "invalid character 'q' in string escape code"),
        (r'"\u12g4"', r"invalid character 'g' in \u hexadecimal character escape"),
        ("\n x", "invalid character 'x' looking for beginning of value"),
    ],
)
def test_complains_as_go_does(text: str, complaint: str) -> None:
    """The first character that cannot stand where it stands."""
    assert gojson.complaint(text.encode()) == complaint


@fuzz.counted(full=20_000, reduced=500)
@given(st.text(alphabet='{}[]":,1 -.eEtrufalsn\\x0\n', max_size=25))
def test_complains_about_what_is_no_json(text: str) -> None:
    """Exactly the texts that another decoder refuses."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        json.loads(text, parse_constant=refuse)
    except ValueError:
        assert gojson.complaint(text.encode())
    else:
        assert not gojson.complaint(text.encode())


def test_notices_duplicates_with_their_paths() -> None:
    """In the order of the text; of equal members the last one counts."""
    text = b'{"a":1,"b":[{"c":1,"c":2},{"d":{"e":1,"e":2}}],"a":3}'
    decoded = bodies.decode(text, content_type=bodies.JSON, is_strict=True)
    found = ("a", "b[0].c", "b[1].d.e")
    assert decoded.complaints == tuple(f'duplicate field "{path}"' for path in found)
    assert decoded.value["a"] == 3
    assert bodies.decode(text, content_type=bodies.JSON).complaints == ()


def test_notices_duplicates_in_yaml_by_their_lines() -> None:
    """In mappings of either style, among sequences and anchors; the heading stands once."""
    text = b"a: &x {b: 1, b: 2}\nc:\n- d: *x\n  e: [1, {f: 1}, {f: 1}]\n  d: 3\nc: 1\n"
    decoded = bodies.decode(text, content_type=bodies.YAML, is_strict=True)
    lines = [(1, "b"), (5, "d"), (6, "c")]
    told = "".join(f'\n  line {line}: key "{key}" already set in map' for line, key in lines)
    assert decoded.complaints == (bodies.YAML_ERRORS + told,)


@pytest.mark.parametrize("depth", [bodies.MAX_DEPTH, bodies.MAX_DEPTH + 1])
def test_bounds_the_depth(depth: int) -> None:
    """Brackets inside of strings do not count."""
    text = b'{"x":"[[[[' + rb"\"" + b'[","y":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"
    many = text[:-1] + b',"z":[' + b",".join([b"[]"] * 200) + b"]}"
    if depth > bodies.MAX_DEPTH:
        with pytest.raises(errors.InvalidInputError, match="exceeded max depth"):
            bodies.decode(many, content_type=bodies.JSON)
    else:
        assert bodies.decode(many, content_type=bodies.JSON).value["z"]


@pytest.mark.parametrize("content_type", [bodies.JSON, bodies.YAML, bodies.APPLY_PATCH])
@pytest.mark.parametrize("text", [b'{"a":' * 100_000, b"{" * 100_000, b"[" * 100_000])
def test_no_depth_brings_anything_but_a_refusal(content_type: str, text: bytes) -> None:
    """However the text is to be read: the decoder's stack is not the client's business."""
    with pytest.raises(errors.InvalidInputError, match="exceeded max depth"):
        bodies.decode(text, content_type=content_type)


def test_keeps_large_numbers() -> None:
    """64-bit integers are not rounded."""
    text = b'{"n": 9223372036854775807}'
    assert bodies.decode(text, content_type=bodies.JSON).value == {"n": 2**63 - 1}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 2001-01-01", {"a": "2001-01-01"}),
        ("a: 010", {"a": 8}),
        ("2: a\ntrue: b", {"2": "a", "true": "b"}),
        ("a: ~", {"a": None}),
        ('{"a": 1}', {"a": 1}),
        ("{a: 1}", {"a": 1}),
        ("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}),
        ("a: &x {b: 1}\nc:\n  <<: *x\n  d: 2", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
    ],
)
def test_reads_yaml_as_json(text: str, value: object) -> None:
    """Values are those of JSON: times stay text, keys become text."""
    decoded = bodies.decode(text.encode(), content_type=bodies.APPLY_PATCH)
    assert decoded.value == value
