"""No credential and no foreign page reaches a message."""

import hypothesis
import pytest
from hypothesis import strategies

from ocisource.net import redact
from tests.parts import fuzz


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "https://ghcr.io/v2/org/app/tags/list?n=1000",
            "https://ghcr.io/v2/org/app/tags/list?n=1000",
        ),
        ("https://user:hunter2@ghcr.io/v2/", "https://redacted@ghcr.io/v2/"),
        ("https://hunter2@ghcr.io/v2/", "https://redacted@ghcr.io/v2/"),
        ("https://a@hunter2@ghcr.io/v2/", "https://redacted@ghcr.io/v2/"),
        ("oci://user:hunter2@ghcr.io/a", "oci://redacted@ghcr.io/a"),
        ("user:hunter2@ghcr.io/a", "redacted@ghcr.io/a"),
        ("//user:hunter2@ghcr.io/a", "//redacted@ghcr.io/a"),
        ("ghcr.io/a@sha256:abc", "ghcr.io/a@sha256:abc"),
        (
            "https://s3.io/blob?X-Amz-Signature=hunter2&X-Amz-Expires=60&n=1",
            "https://s3.io/blob?X-Amz-Signature=redacted&X-Amz-Expires=redacted&n=1",
        ),
        ("https://s3.io/blob?hunter2", "https://s3.io/blob?redacted"),
        ("https://s3.io/blob?sig=hunter2=", "https://s3.io/blob?sig=redacted"),
        ("https://s3.io/blob#access_token=hunter2", "https://s3.io/blob"),
        (
            "https://auth.io/token?service=s&scope=repository:a:pull&account=hunter2",
            "https://auth.io/token?service=s&scope=repository:a:pull&account=redacted",
        ),
        ("https://h/a?", "https://h/a?"),
        ("https://h/\r\nX: y", "https://h/ X: y"),
        ("", ""),
    ],
)
def test_urls_lose_what_may_be_a_credential(text: str, expected: str) -> None:
    """Userinfo, fragments, and every query value but a few known ones."""
    assert redact.url(text) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", ""),
        (b'{"errors":[]}', '{"errors":[]}'),
        (b"<html>\n <body>429\r\n</body>", "<html> <body>429 </body>"),
        (b"a\x00b\x1b[31mc\x7f", "a b [31mc"),
        (b"\xff\xfeok\xff", "ok"),
        ("zero\u200bwidth \u202eoverride", "zero width override"),
        (
            "redirect to https://u:hunter2@h/x?sig=hunter2 failed",
            "redirect to https://redacted@h/x?sig=redacted failed",
        ),
    ],
)
def test_foreign_bodies_become_one_printable_line(body: bytes | str, expected: str) -> None:
    """Control and bidirectional characters are blanks; URLs inside are redacted."""
    assert redact.foreign(body) == expected


@pytest.mark.parametrize("body", [b"x" * 10**6, "y" * 10**6, "\u00e9" * 10**6])
def test_at_most_256_characters_are_shown(body: bytes | str) -> None:
    """A page of a megabyte costs 256 characters, and says that it was cut."""
    shown = redact.foreign(body)
    assert len(shown) == redact.FOREIGN_CHARACTERS
    assert shown.endswith("...")


@fuzz.counted()
@hypothesis.given(body=strategies.one_of(strategies.binary(), strategies.text()))
def test_whatever_comes_is_short_and_printable(body: bytes | str) -> None:
    """Fuzz: one line, bounded, and the same again when redacted twice."""
    shown = redact.foreign(body)
    assert len(shown) <= redact.FOREIGN_CHARACTERS
    assert shown.isprintable()
    assert redact.foreign(shown) == shown


@fuzz.counted()
@hypothesis.given(
    secret=strategies.from_regex(r"[a-z]{12}", fullmatch=True),
    host=strategies.from_regex(r"[A-Z]{1,5}\.io(:[0-9]{1,4})?", fullmatch=True),
    path=strategies.from_regex(r"(/[A-Z]{0,5}){0,3}", fullmatch=True),
)
def test_no_place_of_a_url_leaks(secret: str, host: str, path: str) -> None:
    """Property: user, password, query name-less, query value, fragment; alone or within a text."""
    for url in (
        f"https://{secret}:x@{host}{path}",
        f"https://x:{secret}@{host}{path}",
        f"https://{host}{path}?{secret}",
        f"https://{host}{path}?n=1&token={secret}",
        f"https://{host}{path}#{secret}",
    ):
        assert secret not in redact.url(url)
        assert secret not in redact.foreign(f"cannot read {url} now")
