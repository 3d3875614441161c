"""Reading: one object, or a list by the rules of resourceVersion, limit and continue.

A list that goes on (``continue``) shows the state of its first page: from memory while the
resource has not changed since, otherwise from the data file's history. When that is compacted
the client gets 410 and a token to go on with inconsistently.
"""

import asyncio
import base64
import binascii
import dataclasses
import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec

from ocisource.apiserver import kinds, requests, selection
from ocisource.apiserver.history import records, store
from ocisource.apiserver.wording import failures, gojson

FUTURE_WAIT_SECONDS = 3.0  # for a revision that is not there yet, as kube-apiserver
PAGE = 500  # rows fetched from history at a time
MAX_TOKEN = 4096  # characters of a continue token
_INCONSISTENT = -1


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """A list, or a part of one; ``token`` continues it, ``remaining`` counts what is left."""

    found: list[records.Record]
    revision: int
    token: str = ""
    remaining: int | None = None

    def metadata(self) -> dict[str, Any]:
        """The list's metadata."""
        shown: dict[str, Any] = {"resourceVersion": str(self.revision)}
        if self.token:
            shown["continue"] = self.token
        if self.remaining is not None:
            shown["remainingItemCount"] = self.remaining
        return shown


class _Token(msgspec.Struct):
    """What a continue token says; kube-apiserver's form."""

    v: str
    rv: int
    start: str


class Reader:
    """Reads from the store."""

    def __init__(self, held: store.Store) -> None:
        self._store = held

    def get(self, kind: kinds.Kind, key: records.Key) -> records.Record:
        """One object; raises APIStatusError."""
        record = self._store.get(key)
        if record is None:
            raise failures.not_found(kind.resource, key.name)
        return record

    async def wait_for(self, revision: int) -> None:
        """Wait until the store has come to a revision; raises APIStatusError (504)."""
        deadline = asyncio.get_running_loop().time() + FUTURE_WAIT_SECONDS
        while revision > self._store.revision:
            if asyncio.get_running_loop().time() > deadline:
                raise failures.version_too_large(revision, self._store.revision)
            await asyncio.sleep(0.02)

    async def page(self, wanted: selection.Selection, options: requests.ListOptions) -> Page:
        """The objects wanted; raises APIStatusError, StorageError."""
        revision, after = await self._start(options)
        at = self._store.revision if revision is None else revision
        resource = wanted.kind.resource.stored_as
        if revision is None or self._store.is_unchanged(resource, at):
            present = self._store.scan(resource, wanted.where, name=wanted.name, after=after)
            return self._cut(filter(wanted.admits, present), wanted, options, at)
        try:
            return await self._past(wanted, options, at=at, after=after)
        except store.TooOldError as error:
            raise self._expired(options, after) from error

    async def _start(self, options: requests.ListOptions) -> tuple[int | None, tuple[str, str]]:
        """The revision to show (None: now) and the place to go on after."""
        if options.token:
            if options.revision:
                raise failures.bad_request(
                    "specifying resource version is not allowed when using continue"
                )
            token = _read_token(options.token)
            namespace, _, name = token.start.rpartition("/")
            revision = None if token.rv == _INCONSISTENT else token.rv
            if revision is not None and revision > self._store.revision:
                raise failures.version_too_large(revision, self._store.revision)
            return revision, (namespace, name)
        nothing = ("", "")
        if not options.revision:
            return None, nothing
        is_exact = options.match == "Exact" or (not options.match and bool(options.limit))
        await self.wait_for(options.revision)
        return (options.revision if is_exact else None), nothing

    def _cut(
        self,
        admitted: Iterator[records.Record],
        wanted: selection.Selection,
        options: requests.ListOptions,
        at: int,
    ) -> Page:
        if not options.limit:
            return Page(list(admitted), at)
        found = list(itertools.islice(admitted, options.limit))
        following = next(admitted, None) if len(found) == options.limit else None
        if following is None:
            return Page(found, at)
        remaining = None
        if not wanted.labels and not wanted.fields:
            remaining = 1 + sum(1 for _ in admitted)
        return Page(found, at, _write_token(found[-1], at), remaining)

    async def _past(
        self,
        wanted: selection.Selection,
        options: requests.ListOptions,
        *,
        at: int,
        after: tuple[str, str],
    ) -> Page:
        found: list[records.Record] = []
        size = options.limit + 1 if options.limit else 0
        async for record in self._history(wanted, at=at, after=after):
            if wanted.admits(record):
                found.append(record)
                if len(found) == size:
                    return Page(found[:-1], at, _write_token(found[-2], at))
        return Page(found, at)

    async def _history(
        self, wanted: selection.Selection, *, at: int, after: tuple[str, str]
    ) -> AsyncIterator[records.Record]:
        resource = wanted.kind.resource.stored_as
        while True:
            rows = await self._store.snapshot(
                resource, wanted.where, at=at, after=after, limit=PAGE
            )
            for record in rows:
                yield record
            if len(rows) < PAGE:
                return
            after = (rows[-1].key.namespace, rows[-1].key.name)

    def _expired(self, options: requests.ListOptions, after: tuple[str, str]) -> Exception:
        if not options.token:
            return failures.gone("The resourceVersion for the provided list is too old.")
        token = _encode(_Token("meta.k8s.io/v1", _INCONSISTENT, "/".join(after)))
        return failures.gone(failures.CONTINUE_EXPIRED, fresh_token=token)


def _write_token(last: records.Record, revision: int) -> str:
    place = f"{last.key.namespace}/{last.key.name}"
    return _encode(_Token("meta.k8s.io/v1", revision, place))


def _encode(token: _Token) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(token)).decode().rstrip("=")


def _read_token(text: str) -> _Token:
    """Read a continue token; raises APIStatusError."""
    if len(text) > MAX_TOKEN:
        raise _bad_token("it is too long")
    try:
        padded = text + "=" * (-len(text) % 4)
        data = base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True)
    except (ValueError, UnicodeEncodeError, binascii.Error) as error:
        raise _bad_token("illegal base64 data") from error
    try:
        token = msgspec.json.decode(data, type=_Token)
    except (UnicodeDecodeError, msgspec.DecodeError) as error:
        raise _bad_token(gojson.complaint(data) or str(error)) from error
    if token.v != "meta.k8s.io/v1" or "/" not in token.start:
        raise _bad_token(f'server does not recognize this encoded version "{token.v}"')
    if token.rv == 0 or token.rv < _INCONSISTENT:
        raise _bad_token("incorrect encoded start resourceVersion")
    return token


def _bad_token(why: str) -> Exception:
    return failures.bad_request(f"invalid continue token: continue key is not valid: {why}")
