"""Tag lists: `GET /v2/{repo}/tags/list?n=1000`, page after page.

Rules: `Link` is followed on the same host only; a page seen before, a full house of pages or too
many bytes end the walk with an error; `null` or missing `tags` is an empty list. distribution 2.x
ignores `n` and sends everything at once, Google adds a `manifest` map: both fit the bounds.
"""

import http
from collections.abc import Callable, Coroutine, Hashable
from typing import Any

import msgspec

from ocisource import errors
from ocisource.net import redact
from ocisource.oci import flights
from ocisource.oci.grammar import links, reference
from ocisource.oci.hosts import answers
from ocisource.oci.transport import transport

_UNREADABLE = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)


class _PageJSON(msgspec.Struct):
    tags: list[str] | None = None


_DECODER = msgspec.json.Decoder(_PageJSON)


class TagLists:
    """Lists of the last ``lifetime`` seconds, by key; a list is asked for once at a time."""

    def __init__(self, *, lifetime: float, clock: Callable[[], float]) -> None:
        self._lifetime = lifetime
        self._clock = clock
        self._kept: dict[Hashable, tuple[float, tuple[str, ...]]] = {}
        self._fetches: flights.Flights[tuple[str, ...]] = flights.Flights()

    async def get(
        self, key: Hashable, fetch: Callable[[], Coroutine[Any, Any, tuple[str, ...]]]
    ) -> tuple[str, ...]:
        """The list for a key, fetched if there is no fresh one; raises what ``fetch`` raises."""
        kept = self._kept.get(key)
        if kept is not None and self._clock() < kept[0]:
            return kept[1]
        found = await self._fetches.share(key, fetch)
        now = self._clock()
        for old in [each for each, (until, _) in self._kept.items() if until <= now]:
            del self._kept[old]
        self._kept[key] = (now + self._lifetime, found)
        return found

    async def close(self) -> None:
        """End what is under way."""
        await self._fetches.close()


async def fetch(
    connection: transport.Transport, repository: reference.Repository, *, scope: str
) -> tuple[str, ...]:
    """All tags, each once, in the registry's order.

    Raises NotFoundError for an unknown repository, RegistryError and its leaves, TransportError,
    ContentError for lists beyond the bounds.
    """
    settings = connection.settings
    path: str | None = f"/v2/{repository.path}/tags/list?n={settings.page_tags}"
    tags: dict[str, None] = {}
    seen: set[str] = set()
    size = 0
    while path is not None:
        if path in seen or len(seen) >= settings.pages:
            raise errors.ContentError(
                f"listing tags of {repository}: the pages do not end ({len(seen)} read)"
            )
        seen.add(path)
        request = transport.Request(method="GET", path=path, scope=scope)
        answer = await connection.fetch(request, bound=settings.page_size, what="the list of tags")
        page = _page(connection, answer)
        size += len(answer.body)
        if size > settings.tags_size:
            raise errors.ContentError(
                f"listing tags of {repository}: more than {settings.tags_size} bytes"
            )
        tags.update(dict.fromkeys(page))
        path = _next(answer)
    return tuple(tags)


def _page(connection: transport.Transport, answer: answers.Answer) -> list[str]:
    if answer.status != http.HTTPStatus.OK:
        raise connection.refusal(answer)
    try:
        return _DECODER.decode(answer.body).tags or []
    except _UNREADABLE:
        raise answers.not_json(answer, "a list of tags") from None


def _next(answer: answers.Answer) -> str | None:
    """The next page, or None. An absolute URL, on the host this page came from."""
    url = links.next_page(answer.link_values, page_url=answer.url)
    if url is None:
        return None
    if not url.startswith(("http://", "https://")):
        raise errors.RegistryError(f"{answer.where}: unusable Link {redact.url(url)}")
    return url
