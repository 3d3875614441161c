"""Challenges are told apart, however a registry writes them."""

import hypothesis
import pytest
from hypothesis import strategies

from ocisource.oci.authentication import challenge
from tests.parts import fuzz

Parsed = list[tuple[str, dict[str, str]]]


def parsed(*values: str) -> Parsed:
    """Challenges as plain tuples."""
    return [(each.scheme, dict(each.parameters)) for each in challenge.parse(values)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('Basic realm="x"', [("basic", {"realm": "x"})]),
        ("Basic", [("basic", {})]),
        (
            (
                'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",'
                'scope="repository:library/nginx:pull,push"'
            ),
            [
                (
                    "bearer",
                    {
                        "realm": "https://auth.docker.io/token",
                        "service": "registry.docker.io",
                        "scope": "repository:library/nginx:pull,push",
                    },
                )
            ],
        ),
        # Several in one header, commas inside strings, and what looks like a scheme inside one.
        (
            'Basic realm="a, Bearer realm=\\"b\\"", Bearer realm="https://x/t" , service=s',
            [
                ("basic", {"realm": 'a, Bearer realm="b"'}),
                ("bearer", {"realm": "https://x/t", "service": "s"}),
            ],
        ),
        # RFC 9110's own example.
        (
            'Newauth realm="apps", type=1, title="Login to \\"apps\\"", Basic realm="simple"',
            [
                ("newauth", {"realm": "apps", "type": "1", "title": 'Login to "apps"'}),
                ("basic", {"realm": "simple"}),
            ],
        ),
        # token68, with and without padding, before and after others.
        ('Negotiate YWJj==, Basic realm="x"', [("negotiate", {}), ("basic", {"realm": "x"})]),
        ("Negotiate YWJj, NTLM", [("negotiate", {}), ("ntlm", {})]),
        ("Basic, Bearer realm=x", [("basic", {}), ("bearer", {"realm": "x"})]),
        # Blanks around the equals sign, tabs, empty elements.
        ('Bearer realm = "x",,\t service\t=\ts,', [("bearer", {"realm": "x", "service": "s"})]),
        # Upper case, parameters without commas, unquoted URLs, single quotes: real registries.
        ('BEARER REALM="X" Service="Y"', [("bearer", {"realm": "X", "service": "Y"})]),
        (
            "Bearer realm=https://h/t?a=b,service=s",
            [("bearer", {"realm": "https://h/t?a=b", "service": "s"})],
        ),
        ('Bearer realm="a",realm="b"', [("bearer", {"realm": "a"})]),
        ('Bearer realm="never closed', [("bearer", {"realm": "never closed"})]),
        ('Bearer realm="ends in a backslash\\', [("bearer", {"realm": "ends in a backslash"})]),
        ("Bearer realm=", [("bearer", {})]),
        ('Bearer realm=,service="s"', [("bearer", {"service": "s"})]),
        ('Bearer scope=,service="s", x=', [("bearer", {"service": "s", "x": ""})]),
        # Nothing that can be read.
        ("", []),
        (" , ,", []),
        ('realm="no scheme"', []),
        ('"quoted, Basic", Bearer realm=x', [("bearer", {"realm": "x"})]),
        ('= x, "', []),
    ],
)
def test_challenges_are_read(value: str, expected: Parsed) -> None:
    """The grammar, and how real registries bend it."""
    assert parsed(value) == expected


def test_several_headers_are_one_list() -> None:
    """RFC 9110, 5.3: a field given twice."""
    assert [scheme for scheme, _ in parsed("Negotiate", 'Bearer realm="x"')] == [
        "negotiate",
        "bearer",
    ]


def test_the_first_usable_challenge_is_taken() -> None:
    """Schemes that nobody here speaks are passed over."""
    challenges = challenge.parse(['Negotiate, Basic realm="b", Bearer realm="t",error="e"'])
    found = challenge.first(challenges, "bearer", "basic")
    assert found is not None
    assert (found.scheme, found.realm, found.service, found.scope) == ("basic", "b", "", "")
    bearer = challenge.first(challenges, "bearer")
    assert bearer is not None
    assert bearer.error == "e"
    assert challenge.first(challenges, "digest") is None


def test_attack_endless_challenges_are_bounded() -> None:
    """A header of a megabyte, and thousands of challenges, cost a bounded effort."""
    assert len(challenge.parse(["Basic, " * 100_000])) == challenge.CHALLENGES_MAX
    assert len(challenge.parse(["Basic"] * 1000)) == challenge.CHALLENGES_MAX


TOKENS = strategies.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,8}", fullmatch=True)


@fuzz.counted()
@hypothesis.given(
    values=strategies.lists(
        strategies.one_of(
            strategies.text(),
            strategies.lists(
                strategies.sampled_from(
                    ["Bearer", "Basic ", "realm", "=", '"', "\\", ",", " ", "\t", "x", "YQ==", "/"]
                )
            ).map("".join),
        ),
        max_size=3,
    )
)
def test_any_header_is_read_without_an_exception(values: list[str]) -> None:
    """Fuzz: whatever comes, a tuple of challenges is the answer."""
    for each in challenge.parse(values):
        assert each.scheme == each.scheme.lower() != ""


@fuzz.counted()
@hypothesis.given(
    wanted=strategies.lists(
        strategies.tuples(
            TOKENS.map(str.lower),
            strategies.dictionaries(TOKENS.map(str.lower), strategies.text(), max_size=4),
        ),
        max_size=4,
    )
)
def test_what_is_written_by_the_grammar_is_read_back(wanted: Parsed) -> None:
    """Property: any schemes, any quoted values, in one header."""
    written = ", ".join(
        f"{scheme} "
        + ", ".join(
            '{}="{}"'.format(name, value.replace("\\", "\\\\").replace('"', '\\"'))
            for name, value in parameters.items()
        )
        for scheme, parameters in wanted
    )
    assert parsed(written) == wanted
