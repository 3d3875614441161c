"""What an API server answers, read with bounds: objects, lists, watch lines and Status."""

import dataclasses
import enum
import typing
from collections.abc import AsyncGenerator, Callable, Iterator

import aiohttp
import msgspec

from ocisource import errors
from ocisource.api import meta
from ocisource.kube import resources
from ocisource.net import backoff

T = typing.TypeVar("T")

MAX_BODY_BYTES = 128 * 1024 * 1024  # of one answer: a page of 500 objects of etcd's 1.5 MB limit
MAX_STATUS_BYTES = 64 * 1024  # of an error's body
MAX_LINE_BYTES = 16 * 1024 * 1024  # of one watch event
MAX_MESSAGE = 4096  # characters of a foreign error message

GONE = 410
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
# What msgspec raises besides: for too deep a nesting, and for bytes that are no UTF-8.
UNREADABLE = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)


class ListMeta(msgspec.Struct, frozen=True, rename="camel"):
    """Version of a list, and where it goes on."""

    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class _RawList(msgspec.Struct, frozen=True):
    metadata: ListMeta = ListMeta()
    items: list[msgspec.Raw] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Page(typing.Generic[T]):
    """A part of a list; ``next_token`` is empty on the last one."""

    items: tuple[T, ...]
    resource_version: str
    next_token: str


class EventType(enum.Enum):
    """What a watch event says."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"


@dataclasses.dataclass(frozen=True, slots=True)
class WatchEvent(typing.Generic[T]):
    """A change; ``obj`` is None for a bookmark, and for an object that could not be read."""

    type: EventType
    obj: T | None
    metadata: meta.ObjectMeta


class _Line(msgspec.Struct, frozen=True):
    type: str
    object: msgspec.Raw


class _Status(msgspec.Struct, frozen=True, kw_only=True):
    kind: str = ""
    message: str | None = None
    reason: str | None = None
    code: int | None = None
    details: dict[str, typing.Any] | None = None


Complaint = Callable[[str], None]


class Reader(typing.Generic[T]):
    """Decodes one kind of object; what cannot be read is complained about and passed over.

    One malformed object must not hide all others: a list with a bad item yields the rest.
    """

    def __init__(self, resource: resources.Resource[T], *, complain: Complaint) -> None:
        self._resource = resource
        self._complain = complain
        self._object = msgspec.json.Decoder(resource.model)
        self._list = msgspec.json.Decoder(_RawList)
        self._line = msgspec.json.Decoder(_Line)
        self._metadata = msgspec.json.Decoder(meta.PartialObjectMetadata)

    def object(self, body: bytes) -> T:
        """An object; raises TransportError."""
        try:
            return self._decoded(body)
        except UNREADABLE as exc:
            raise errors.TransportError(
                f"unreadable {self._resource.kind} from the API server: {exc}"
            ) from exc

    def page(self, body: bytes) -> Page[T]:
        """A page of a list; raises TransportError."""
        try:
            raw = self._list.decode(body)
        except UNREADABLE as exc:
            raise errors.TransportError(
                f"unreadable list of {self._resource.plural} from the API server: {exc}"
            ) from exc
        return Page(
            items=tuple(self._readable(raw.items or ())),
            resource_version=raw.metadata.resource_version,
            next_token=raw.metadata.continue_,
        )

    def _readable(self, items: typing.Iterable[msgspec.Raw]) -> Iterator[T]:
        for item in items:
            try:
                yield self._decoded(item)
            except UNREADABLE as exc:
                self._complain(self._unreadable(item, exc))

    def event(self, line: bytes) -> WatchEvent[T] | None:
        """A watch event, None for one of an unknown type.

        Raises APIStatusError for an ERROR event, TransportError for a line that is none.
        """
        try:
            decoded = self._line.decode(line)
            if decoded.type == "ERROR":
                raise status_error(bytes(decoded.object), http_status=0)
            kind = EventType(decoded.type)
        except UNREADABLE as exc:
            raise errors.TransportError(f"unreadable watch event: {exc}") from exc
        except ValueError:
            return None
        if kind is EventType.BOOKMARK:
            return WatchEvent(kind, None, self._meta(decoded.object))
        try:
            obj = self._decoded(decoded.object)
        except UNREADABLE as exc:
            self._complain(self._unreadable(decoded.object, exc))
            return WatchEvent(kind, None, self._meta(decoded.object))
        if isinstance(metadata := getattr(obj, "metadata", None), meta.ObjectMeta):
            return WatchEvent(kind, obj, metadata)
        return WatchEvent(kind, obj, self._meta(decoded.object))

    def _decoded(self, content: bytes | msgspec.Raw) -> T:
        obj = self._object.decode(content)
        if isinstance(obj, meta.PartialObjectMetadata):
            # kubectl keeps the whole object in there, a Secret's data with it.
            obj.metadata.annotations.pop(_LAST_APPLIED, None)
        return obj

    def _meta(self, raw: msgspec.Raw) -> meta.ObjectMeta:
        try:
            return self._metadata.decode(raw).metadata
        except UNREADABLE as exc:
            raise errors.TransportError(f"unreadable watch event: {exc}") from exc

    def _unreadable(self, raw: msgspec.Raw, exc: Exception) -> str:
        try:
            metadata = self._metadata.decode(raw).metadata
            name = f"{metadata.namespace}/{metadata.name}"
        except UNREADABLE:
            name = "without readable metadata"
        return f"{self._resource.kind} {name} cannot be read and is passed over: {exc}"


async def body(response: aiohttp.ClientResponse, *, limit: int = MAX_BODY_BYTES) -> bytes:
    """The whole body; raises TransportError if it is larger than ``limit`` bytes."""
    read = bytearray()
    async for chunk in response.content.iter_any():
        read += chunk
        if len(read) > limit:
            response.close()
            raise errors.TransportError(f"the API server's answer is larger than {limit} bytes")
    return bytes(read)


async def lines(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
    """The body's lines as they come; raises TransportError for one that does not end."""
    pending = bytearray()
    async for chunk in response.content.iter_any():
        searched = len(pending)
        pending += chunk
        start = 0
        while (end := pending.find(b"\n", max(searched, start))) >= 0:
            if line := bytes(pending[start:end]).strip():
                yield line
            start = end + 1
        del pending[:start]
        if len(pending) > MAX_LINE_BYTES:
            response.close()
            raise errors.TransportError(f"a watch event is larger than {MAX_LINE_BYTES} bytes")


async def failure(response: aiohttp.ClientResponse, *, now: float) -> errors.APIStatusError:
    """The error that a negative answer tells of; ``now`` in seconds since the epoch."""
    try:
        content = await body(response, limit=MAX_STATUS_BYTES)
    except errors.TransportError:
        content = b""
    return status_error(
        content,
        http_status=response.status,
        retry_after=backoff.parse_retry_after(response.headers.get("Retry-After"), now=now),
    )


def status_error(
    content: bytes, *, http_status: int, retry_after: float | None = None
) -> errors.APIStatusError:
    """The error of a Status; of any other body only the HTTP status is told."""
    try:
        status = msgspec.json.decode(content, type=_Status)
    except UNREADABLE:
        status = _Status()
    if status.kind != "Status":
        # A proxy's page, say; its text is not the API's and may be anything.
        return errors.APIStatusError(
            f"the API server answered with HTTP status {http_status}",
            code=http_status,
            retry_after=retry_after,
        )
    details = status.details or {}
    if retry_after is None and isinstance(seconds := details.get("retryAfterSeconds"), int):
        retry_after = min(float(seconds), backoff.RETRY_AFTER_CAP) if seconds > 0 else None
    code = status.code or http_status
    return errors.APIStatusError(
        (status.message or status.reason or f"status {code}")[:MAX_MESSAGE],
        code=code,
        reason=status.reason or "",
        details=details,
        retry_after=retry_after,
    )


def is_not_found(error: BaseException) -> bool:
    """Whether the API said that there is no such object."""
    return isinstance(error, errors.APIStatusError) and error.code == 404  # noqa: PLR2004


def is_conflict(error: BaseException) -> bool:
    """Whether the API refused a write because the object has changed meanwhile."""
    return (
        isinstance(error, errors.APIStatusError)
        and error.code == 409  # noqa: PLR2004
        and error.reason != "AlreadyExists"
    )


def is_already_there(error: BaseException) -> bool:
    """Whether the API refused to create an object whose name is taken."""
    return isinstance(error, errors.APIStatusError) and error.reason == "AlreadyExists"


def is_expired(error: BaseException) -> bool:
    """Whether a resourceVersion or continue token is too old (410, as HTTP or as an event)."""
    return isinstance(error, errors.APIStatusError) and (
        error.code == GONE or error.reason in {"Expired", "Gone"}
    )


class _TokenStatus(msgspec.Struct, frozen=True):
    token: str = ""

    def __repr__(self) -> str:
        return "TokenStatus(redacted)"


class _TokenAnswer(msgspec.Struct, frozen=True):
    status: _TokenStatus = _TokenStatus()


def token(body: bytes) -> str:
    """The token in the answer to a TokenRequest; raises TransportError."""
    try:
        found = msgspec.json.decode(body, type=_TokenAnswer).status.token
    except UNREADABLE as exc:
        # Without the cause: it may quote the body.
        raise errors.TransportError("unreadable answer to a TokenRequest") from exc
    if not found:
        raise errors.TransportError("the answer to a TokenRequest holds no token")
    return found
