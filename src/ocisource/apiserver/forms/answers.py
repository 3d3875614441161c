"""Answers as they go out: bytes with their headers, or a stream of chunks."""

import dataclasses
from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Any

from ocisource import errors
from ocisource.apiserver.forms import negotiation, presenting
from ocisource.apiserver.wording import failures

TEXT = "text/plain; charset=utf-8"
WARNING_CHARACTERS = 4096  # of all warnings of one answer, as kube-apiserver bounds them
WARNING_CUT = 256  # characters that are left of each when they would be more


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; ``etag`` lets the client ask again cheaply."""

    body: bytes
    code: int = 200
    content_type: str = negotiation.JSON
    warnings: tuple[str, ...] = ()
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Stream:
    """An answer that goes on: chunks of whole lines.

    The first chunk is empty and may take a refusal's place by raising it.
    """

    chunks: AsyncGenerator[bytes, None]
    content_type: str = negotiation.JSON
    warnings: tuple[str, ...] = ()


def document(value: Any, form: negotiation.Form, *, code: int = 200) -> Answer:
    """A document that is no object of the store."""
    return Answer(presenting.write(value, form), code, form.content_type)


def text(words: str, *, code: int = 200) -> Answer:
    """Plain text."""
    return Answer(words.encode(), code, TEXT)


def refusal(error: errors.APIStatusError, *, is_pretty: bool = False) -> Answer:
    """The Status of a refusal."""
    if isinstance(error, failures.NoPageError):
        return text(f"{error}\n", code=error.code)
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(int(error.retry_after))
    if error.code == 401:  # noqa: PLR2004 - RFC 9110 section 15.5.2 wants to hear how
        headers["WWW-Authenticate"] = 'Bearer realm="ocisource"'
    form = negotiation.Form(is_pretty=is_pretty)
    body = presenting.write(failures.status(error), form)
    return Answer(body, error.code, headers=headers)


def warning_headers(warnings: Iterable[str]) -> list[str]:
    """Values of ``Warning`` headers: each text once, and no more of them than clients read."""
    texts = list(dict.fromkeys(warnings))
    if sum(map(len, texts)) > WARNING_CHARACTERS:
        texts = [each[:WARNING_CUT] for each in texts]
    shown: list[str] = []
    left = WARNING_CHARACTERS
    for each in texts:
        left -= len(each)
        if left >= 0:
            shown.append(_warning_header(each))
    return shown


def _warning_header(words: str) -> str:
    """A ``Warning`` header's value: code 299, no agent, the text quoted (RFC 7234, section 5.5)."""
    printable = "".join(char if char.isprintable() else " " for char in words)
    escaped = printable.replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{escaped}"'
