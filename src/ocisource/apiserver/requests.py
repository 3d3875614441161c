"""What a request asks for: path, query and headers as values, nothing looked up.

::

    resource path ::= ("/api/" version | "/apis/" group "/" version) ["/watch"]
                      ["/namespaces/" namespace] "/" plural ["/" name ["/" subresource]]

As kube-apiserver's ``RequestInfoFactory``: a path's ``namespaces/{name}`` is the namespace object
itself when nothing but a subresource of namespaces follows.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Self

from ocisource import errors
from ocisource.apiserver.wording import failures, fielderrors
from ocisource.wire import selectors

MAX_TIMEOUT_SECONDS = 24 * 3600  # of a watch; a larger number is cut to this
_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})
_CORE_PARTS = 2
_GROUP_PARTS = 3
_INT64 = 2**63
_MAX_DIGITS = 64  # of a number that is read at all
_ANY_LABELS = selectors.LabelSelector()
_ANY_FIELDS = selectors.FieldSelector()


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """What a resource path names."""

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    is_watch: bool = False

    @classmethod
    def parse(cls, path: str) -> Self | None:
        """Read a decoded path; None if it is no resource path."""
        parts = [part for part in path.split("/") if part]
        if parts[:1] == ["api"] and len(parts) > _CORE_PARTS:
            group, version, rest = "", parts[1], parts[_CORE_PARTS:]
        elif parts[:1] == ["apis"] and len(parts) > _GROUP_PARTS:
            group, version, rest = parts[1], parts[2], parts[_GROUP_PARTS:]
        else:
            return None
        is_watch = rest[0] == "watch" and len(rest) > 1
        if is_watch:
            rest = rest[1:]
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 1:
            is_itself = len(rest) == 2 or (group == "" and rest[2] in _NAMESPACE_SUBRESOURCES)  # noqa: PLR2004 - the form above
            namespace = "" if is_itself else rest[1]
            rest = rest if is_itself else rest[2:]
        if len(rest) > _GROUP_PARTS:
            return None
        plural, name, subresource = (*rest, "", "")[:3]
        return cls(group, version, plural, namespace, name, subresource, is_watch)


class Query(Mapping[str, str]):
    """The query's parameters; of a repeated one the first counts, as in Kubernetes."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for key, value in pairs:
            self._values.setdefault(key, []).append(value)

    def __getitem__(self, key: str) -> str:
        return self._values[key][0]

    def __iter__(self) -> Any:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def text(self, key: str) -> str:
        """The value, empty when it is absent."""
        return self._values.get(key, [""])[0]

    def every(self, key: str) -> list[str]:
        """All values of a repeated parameter."""
        return self._values.get(key, [])

    def flag(self, key: str) -> bool:
        """A boolean: anything but ``false`` and ``0`` is true, as Kubernetes reads them."""
        return key in self._values and self.text(key).lower() not in {"false", "0"}

    def whole(self, key: str) -> int | None:
        """A 64-bit integer, None when it is absent; raises APIStatusError."""
        text = self.text(key)
        if not text:
            return None
        digits = text[1:] if text[0] in "+-" else text
        if not (digits.isascii() and digits.isdigit()):
            raise failures.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
        if len(digits) > _MAX_DIGITS or not -_INT64 <= int(text) < _INT64:
            raise failures.bad_request(f'strconv.ParseInt: parsing "{text}": value out of range')
        return int(text)


@dataclasses.dataclass(frozen=True, slots=True)
class ListOptions:
    """``metav1.ListOptions`` of a list, watch or collection deletion.

    ``revision`` is None when the client wants the newest state.
    """

    labels: selectors.LabelSelector = _ANY_LABELS
    fields: selectors.FieldSelector = _ANY_FIELDS
    revision: int | None = None
    match: str = ""
    limit: int = 0
    token: str = ""
    is_watch: bool = False
    has_bookmarks: bool = False
    sends_initial: bool | None = None
    timeout: int | None = None

    @classmethod
    def parse(cls, query: Query, *, is_watch: bool) -> Self:
        """Read the query; raises APIStatusError."""
        try:
            labels = selectors.LabelSelector.parse(query.text("labelSelector"))
            fields = selectors.FieldSelector.parse(query.text("fieldSelector"))
        except errors.InvalidInputError as error:
            raise failures.bad_request(str(error)) from error
        timeout = query.whole("timeoutSeconds")
        options = cls(
            labels=labels,
            fields=fields,
            revision=parse_revision(query.text("resourceVersion")),
            match=query.text("resourceVersionMatch"),
            limit=max(query.whole("limit") or 0, 0),
            token=query.text("continue"),
            is_watch=is_watch or query.flag("watch"),
            has_bookmarks=query.flag("allowWatchBookmarks"),
            sends_initial=query.flag("sendInitialEvents") if "sendInitialEvents" in query else None,
            timeout=None if timeout is None else min(timeout, MAX_TIMEOUT_SECONDS),
        )
        if found := options._complaints():
            raise failures.invalid("meta.k8s.io", "ListOptions", "", found)
        return options

    def _complaints(self) -> list[fielderrors.FieldError]:
        # apimachinery, internalversion/validation.ValidateListOptions
        if self.is_watch:
            return self._watch_complaints()
        found: list[fielderrors.FieldError] = []
        path = "resourceVersionMatch"
        if self.sends_initial is not None:
            text = "sendInitialEvents is forbidden for list"
            found.append(fielderrors.forbidden("sendInitialEvents", text))
        if not self.match:
            return found
        if self.revision is None:
            text = "resourceVersionMatch is forbidden unless resourceVersion is provided"
            found.append(fielderrors.forbidden(path, text))
        if self.token:
            text = "resourceVersionMatch is forbidden when continue is provided"
            found.append(fielderrors.forbidden(path, text))
        if self.match not in {"Exact", "NotOlderThan"}:
            supported = ["Exact", "NotOlderThan", ""]
            found.append(fielderrors.not_supported(path, self.match, supported))
        if self.match == "Exact" and self.revision == 0:
            text = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
            found.append(fielderrors.forbidden(path, text))
        return found

    def _watch_complaints(self) -> list[fielderrors.FieldError]:
        path = "resourceVersionMatch"
        if self.sends_initial is None:
            if self.match:
                text = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is "
                return [fielderrors.forbidden(path, text + "provided")]
            return []
        found: list[fielderrors.FieldError] = []
        if self.match != "NotOlderThan":
            text = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            found.append(fielderrors.forbidden(path, text))
        if self.token:
            text = "continue is forbidden for watch when sendInitialEvents is provided"
            found.append(fielderrors.forbidden("continue", text))
        return found


@dataclasses.dataclass(frozen=True, slots=True)
class WriteOptions:
    """Options of create, update and patch.

    ``validation`` is what to do with unknown fields: ``Strict``, ``Warn`` or ``Ignore``.
    """

    is_dry_run: bool = False
    manager: str = ""
    validation: str = "Warn"
    is_forced: bool = False
    has_force: bool = False

    @classmethod
    def parse(cls, query: Query, *, kind: str, user_agent: str) -> Self:
        """Read the query; ``kind`` names the options in errors. Raises APIStatusError."""
        found: list[fielderrors.FieldError] = []
        dry_run = query.every("dryRun")
        if any(value != "All" for value in dry_run):
            found.append(fielderrors.FieldError("dryRun", *_unsupported_dry_run(dry_run)))
        validation = query.text("fieldValidation")
        if validation not in {"", "Ignore", "Warn", "Strict"}:
            supported = ["", "Ignore", "Strict", "Warn"]
            error = fielderrors.not_supported("fieldValidation", validation, supported)
            found.append(error)
        manager = query.text("fieldManager")
        if len(manager) > MANAGER_LENGTH:
            found.append(fielderrors.too_long("fieldManager", MANAGER_LENGTH))
        for at, char in enumerate(manager):
            if not char.isprintable():
                text = f"invalid character U+{ord(char):04X} (at position {at})"
                found.append(fielderrors.invalid("fieldManager", manager, text))
                break
        if found:
            raise failures.invalid("meta.k8s.io", kind, "", found)
        return cls(
            is_dry_run=bool(dry_run),
            manager=manager or manager_of(user_agent),
            validation=validation or "Warn",
            is_forced=query.flag("force"),
            has_force="force" in query,
        )


MANAGER_LENGTH = 128  # bytes of a field manager's name


@dataclasses.dataclass(frozen=True, slots=True)
class DeleteOptions:
    """``metav1.DeleteOptions``: from the body, else from the query."""

    is_dry_run: bool = False
    propagation: str = ""
    uid: str = ""
    revision: str = ""
    grace_seconds: int | None = None

    @classmethod
    def parse(cls, query: Query, body: Mapping[str, Any]) -> Self:
        """Read a decoded body, empty if there was none; raises APIStatusError."""
        preconditions = body.get("preconditions") or {}
        dry_run = body.get("dryRun") or query.every("dryRun")
        policy = body.get("propagationPolicy") or query.text("propagationPolicy")
        orphans = body.get("orphanDependents")
        if orphans is None and "orphanDependents" in query:
            orphans = query.flag("orphanDependents")
        found: list[fielderrors.FieldError] = []
        if any(value != "All" for value in dry_run):
            found.append(fielderrors.FieldError("dryRun", *_unsupported_dry_run(list(dry_run))))
        if policy and orphans is not None:
            text = "orphanDependents and deletionPropagation cannot be both set"
            found.append(fielderrors.invalid("propagationPolicy", policy, text))
        elif policy not in {"", "Foreground", "Background", "Orphan"}:
            supported = ["Foreground", "Background", "Orphan", "nil"]
            found.append(fielderrors.not_supported("propagationPolicy", policy, supported))
        if found:
            raise failures.invalid("meta.k8s.io", "DeleteOptions", "", found)
        if orphans is not None:
            policy = "Orphan" if orphans else "Background"
        return cls(
            is_dry_run=bool(dry_run),
            propagation=policy,
            uid=preconditions.get("uid") or "",
            revision=preconditions.get("resourceVersion") or "",
            grace_seconds=body.get("gracePeriodSeconds", query.whole("gracePeriodSeconds")),
        )


def parse_revision(text: str) -> int | None:
    """A ``resourceVersion`` parameter; raises APIStatusError, the way kube-apiserver does."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise failures.plain_500(
            f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": '
            "invalid syntax"
        )
    if int(text[:20]) >= 2 * _INT64:
        raise failures.plain_500(
            f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": '
            "value out of range"
        )
    return int(text[:20])


def manager_of(user_agent: str) -> str:
    """Who writes, when nobody says so: the user agent up to its first slash."""
    name = user_agent.partition("/")[0]
    printable = "".join(char for char in name if char.isprintable())
    return printable[:MANAGER_LENGTH] or "unknown"


def _unsupported_dry_run(values: Sequence[str]) -> tuple[str, str]:
    shown = ", ".join(f'"{value}"' for value in values)
    return (
        fielderrors.NOT_SUPPORTED,
        f'Unsupported value: []string{{{shown}}}: supported values: "All"',
    )
