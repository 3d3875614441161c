"""Selectors are read, matched and refused as Kubernetes does it."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ocisource import errors
from ocisource.wire import selectors


@pytest.mark.parametrize(
    ("text", "labels", "is_match"),
    [
        ("", {}, True),
        ("a", {"a": ""}, True),
        ("a", {}, False),
        ("!a", {}, True),
        ("!a", {"a": "1"}, False),
        ("a=1", {"a": "1"}, True),
        ("a==1", {"a": "2"}, False),
        ("a=", {"a": ""}, True),
        ("a!=1", {}, True),
        ("a!=1", {"a": "1"}, False),
        ("a in (1, 2)", {"a": "2"}, True),
        ("a in ()", {"a": ""}, True),
        ("a in (1,)", {"a": ""}, True),
        ("a notin (1,2)", {}, True),
        ("a notin (1,2)", {"a": "1"}, False),
        ("a>1", {"a": "2"}, True),
        ("a>1", {"a": "x"}, False),
        ("a<1", {"a": "-3"}, True),
        ("x.io/a=1 , !b", {"x.io/a": "1"}, True),
        ("in in (in),notin=notin", {"in": "in", "notin": "notin"}, True),
    ],
)
def test_matches_labels(text: str, labels: dict[str, str], *, is_match: bool) -> None:
    """Every operator, with labels that are absent, empty and present."""
    assert selectors.LabelSelector.parse(text).matches(labels) is is_match


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a b", "unable to parse requirement: found 'b', expected: '=', '!=', '==', 'in', notin'"),
        ("a,", "found '', expected: identifier after ','"),
        ("a in (", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
        ("a>b", "unable to parse requirement: for 'Gt', 'Lt' operators, the value must be an "),
        ("-a", 'unable to parse requirement: invalid label key "-a": name part must consist of'),
        ("a=-", 'unable to parse requirement: invalid label value: "-": at key: "a": a valid'),
        ("a" * 70_000, "the selector is too long: 70000 characters, 65536 are allowed"),
        (",".join(["a"] * 1_001), "a selector may have 1000 requirements at most"),
    ],
)
def test_refuses_wrong_label_selectors(text: str, complaint: str) -> None:
    """The text says where reading stopped."""
    with pytest.raises(errors.InvalidInputError) as caught:
        selectors.LabelSelector.parse(text)
    assert str(caught.value).startswith(complaint)


@given(st.text(alphabet="ab=!(),<> in/.\\-1", max_size=40))
def test_reads_any_label_selector_or_refuses_it(text: str) -> None:
    """Hostile text ends in a selector that can be written again, or in a refusal."""
    try:
        parsed = selectors.LabelSelector.parse(text)
    except errors.InvalidInputError:
        return
    assert selectors.LabelSelector.parse(str(parsed)) == parsed


@pytest.mark.parametrize(
    ("text", "fields", "is_match"),
    [
        ("", {}, True),
        ("metadata.name=a", {"metadata.name": "a"}, True),
        ("metadata.name==a", {"metadata.name": "b"}, False),
        ("metadata.name!=a", {"metadata.name": "b"}, True),
        ("a=,b=1", {"b": "1"}, True),
        (r"a=x\,y\=z\\", {"a": "x,y=z\\"}, True),
    ],
)
def test_matches_fields(text: str, fields: dict[str, str], *, is_match: bool) -> None:
    """Equality and its contrary, with escapes; an absent field is empty."""
    assert selectors.FieldSelector.parse(text).matches(fields) is is_match


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a", "invalid selector: 'a'; can't understand 'a'"),
        (r"a=\b", r"invalid field selector: invalid escape sequence: \b"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
    ],
)
def test_refuses_wrong_field_selectors(text: str, complaint: str) -> None:
    """The text is that of apimachinery."""
    with pytest.raises(errors.InvalidInputError) as caught:
        selectors.FieldSelector.parse(text)
    assert str(caught.value) == complaint


def test_knows_the_one_value_a_field_must_have() -> None:
    """A watch of one object is found by its name."""
    selector = selectors.FieldSelector.parse("metadata.name=a,metadata.namespace!=b")
    assert selector.exact("metadata.name") == "a"
    assert selector.exact("metadata.namespace") is None


@example("=.,==")
@given(st.text(alphabet="ab=!,\\.", max_size=40))
def test_reads_any_field_selector_or_refuses_it(text: str) -> None:
    """Hostile text ends in a selector that can be written again, or in a refusal."""
    try:
        parsed = selectors.FieldSelector.parse(text)
    except errors.InvalidInputError:
        return
    assert selectors.FieldSelector.parse(str(parsed)) == parsed
