"""The verbs of a resource path: what GET, POST, PUT, PATCH and DELETE do to objects.

A :class:`Call` is a request whose path has been resolved; each method returns the answer and
raises APIStatusError, or StorageError when the data file fails.
"""

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ocisource import errors
from ocisource.apiserver import deletion, kinds, objects, reading, requests, selection, watching
from ocisource.apiserver.builtin import builtins, decoding
from ocisource.apiserver.forms import answers, bodies, negotiation, presenting
from ocisource.apiserver.history import records, store
from ocisource.apiserver.wording import failures, fielderrors, gotext
from ocisource.wire import jsonpatch, mergepatch


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """A request for objects of one kind.

    ``body`` reads the whole body once; ``content_type`` is without parameters.
    """

    method: str
    kind: kinds.Kind
    target: requests.Target
    query: requests.Query
    form: negotiation.Form
    content_type: str
    user_agent: str
    body: Callable[[], Awaitable[bytes]]

    @property
    def key(self) -> records.Key:
        """The object that the path names."""
        resource = self.kind.resource.stored_as
        return records.Key(resource, self.target.namespace, self.target.name)

    @property
    def presenter(self) -> presenting.Presenter:
        """How to write the answer."""
        include = self.query.text("includeObject") or "Metadata"
        if include not in {"Metadata", "Object", "None"}:
            raise failures.bad_request(
                "Unable to convert to Table as requested: includeObject: Invalid value: "
                f"{gotext.quote(include)}: must be 'Metadata', 'Object', 'None', or empty"
            )
        return presenting.Presenter(self.kind, self.form, include)


class Verbs:
    """Carries out calls."""

    def __init__(
        self,
        held: store.Store,
        written: objects.Objects,
        deletions: deletion.Deletions,
        *,
        clock: watching.Clock,
    ) -> None:
        self._store = held
        self._reader = reading.Reader(held)
        self._objects = written
        self._deletions = deletions
        self._clock = clock

    async def answer(self, call: Call) -> answers.Answer | answers.Stream:
        """Carry out a call."""
        is_one = bool(call.target.name)
        match call.method:
            case "GET" | "HEAD":
                return await (
                    self.get(call) if is_one and not call.target.is_watch else self.list(call)
                )
            case "POST" if not is_one:
                return await self.create(call)
            case "PUT" if is_one:
                return await self.update(call)
            case "PATCH" if is_one:
                return await self.patch(call)
            case "DELETE":
                return await (self.delete(call) if is_one else self.delete_collection(call))
        raise failures.method_not_allowed()

    async def get(self, call: Call) -> answers.Answer:
        """One object."""
        revision = requests.parse_revision(call.query.text("resourceVersion"))
        if revision:
            await self._reader.wait_for(revision)
        _check_shape(call, is_list=False)
        record = self._reader.get(call.kind, call.key)
        body = call.presenter.record(record, now=self._clock.wall())
        return self._answer(call, body)

    async def list(self, call: Call) -> answers.Answer | answers.Stream:
        """A list, or a watch."""
        options = requests.ListOptions.parse(call.query, is_watch=call.target.is_watch)
        wanted = selection.Selection.of(
            call.kind, call.target.namespace, options, name=call.target.name
        )
        if options.is_watch:
            watch = watching.Watch(
                self._store, wanted, options, presenter=call.presenter, clock=self._clock
            )
            return answers.Stream(watch.lines(), warnings=self._deprecation(call))
        _check_shape(call, is_list=True)
        page = await self._reader.page(wanted, options)
        body = await call.presenter.many(page.found, page.metadata(), now=self._clock.wall())
        return self._answer(call, body)

    async def create(self, call: Call) -> answers.Answer:
        """A new object."""
        resource = call.kind.resource
        if resource.is_namespaced and not call.target.namespace:
            raise failures.method_not_allowed()
        options = self._write_options(call, "CreateOptions")
        decoded = await self._object(call, options)
        written = await self._objects.create(call.kind, call.target.namespace, decoded, options)
        return self._written(call, written)

    async def update(self, call: Call) -> answers.Answer:
        """A whole object in place of the present one."""
        options = self._write_options(call, "UpdateOptions")
        decoded = await self._object(call, options)
        update = objects.Update(
            call.kind,
            call.key,
            options,
            subresource=call.target.subresource,
            can_create=call.kind.can_create_by_put and not call.target.subresource,
        )
        return self._written(call, await self._objects.update(update, lambda _: decoded))

    async def patch(self, call: Call) -> answers.Answer:
        """A changed object."""
        kind, media_type = call.kind, call.content_type
        if media_type not in bodies.PATCH_TYPES:
            if kind.builtin is not None:
                raise failures.not_a_patch()
            raise failures.unsupported_media_type(bodies.CUSTOM_PATCH_TYPES)
        options = self._write_options(call, "PatchOptions")
        is_apply = media_type == bodies.APPLY_PATCH
        _check_patch_options(call, options, is_apply=is_apply)
        data = await call.body()
        update = objects.Update(
            kind,
            call.key,
            options,
            subresource=call.target.subresource,
            is_apply=is_apply,
            is_patch=True,
            can_create=is_apply and not call.target.subresource,
        )
        is_strict = options.validation != "Ignore"
        decoded = _decode_patch(data, media_type, is_strict=is_strict)

        def change(present: dict[str, Any] | None) -> bodies.Decoded:
            if is_apply:
                return decoded
            changed = _changed(kind, present or {}, decoded.value, media_type)
            is_shown = media_type == bodies.STRATEGIC_PATCH and kind.builtin is not None
            return dataclasses.replace(
                decoded, value=changed, patch=decoded.value if is_shown else None
            )

        return self._written(call, await self._objects.update(update, change))

    async def delete(self, call: Call) -> answers.Answer:
        """One object's end."""
        options = await self._delete_options(call)
        written = await self._deletions.delete(call.kind, call.key, options)
        if written.obj.get("kind") == "Status":
            return answers.document(written.obj, _unshaped(call.form), code=written.code)
        return self._written(call, written)

    async def delete_collection(self, call: Call) -> answers.Answer:
        """Every selected object's end."""
        options = await self._delete_options(call)
        wanted = selection.Selection.of(
            call.kind,
            call.target.namespace,
            listing := requests.ListOptions.parse(call.query, is_watch=False),
        )
        page = await self._reader.page(wanted, listing)
        await self._deletions.delete_all(call.kind, [each.key for each in page.found], options)
        metadata = {"resourceVersion": str(self._store.revision)}
        body = await call.presenter.many(page.found, metadata, now=self._clock.wall())
        return self._answer(call, body)

    def _written(self, call: Call, written: objects.Written) -> answers.Answer:
        body = call.presenter.obj(written.obj, now=self._clock.wall())
        return self._answer(call, body, code=written.code, warnings=written.warnings)

    def _answer(
        self, call: Call, body: bytes, *, code: int = 200, warnings: tuple[str, ...] = ()
    ) -> answers.Answer:
        shown = self._deprecation(call) + warnings
        return answers.Answer(body, code, call.form.content_type, shown)

    def _deprecation(self, call: Call) -> tuple[str, ...]:
        return (call.kind.version.warning,) if call.kind.version.warning else ()

    def _write_options(self, call: Call, name: str) -> requests.WriteOptions:
        return requests.WriteOptions.parse(call.query, kind=name, user_agent=call.user_agent)

    async def _object(self, call: Call, options: requests.WriteOptions) -> bodies.Decoded:
        if call.content_type not in (*bodies.OBJECT_TYPES, ""):
            raise failures.unsupported_media_type(bodies.OBJECT_TYPES)
        data = await call.body()
        try:
            decoded = bodies.decode(
                data,
                content_type=call.content_type,
                is_strict=options.validation != "Ignore",
            )
        except errors.InvalidInputError as error:
            raise _unrecognized(call.kind, data, str(error)) from error
        if decoded.value is None:
            return bodies.Decoded({})
        if not isinstance(decoded.value, dict):
            raise _unrecognized(call.kind, data, _no_object(decoded.value))
        return decoded

    async def _delete_options(self, call: Call) -> requests.DeleteOptions:
        data = await call.body()
        if not data:
            return requests.DeleteOptions.parse(call.query, {})
        try:
            value = bodies.decode(data, content_type=call.content_type).value
        except errors.InvalidInputError as error:
            raise failures.plain_500(
                f"couldn't get version/kind; json parse error: {error}"
            ) from error
        return requests.DeleteOptions.parse(call.query, _checked_options(value))


_SHOWN_BYTES = 30  # of a body that cannot be read, as kube-apiserver shows them
_TYPE_META = (
    'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; '
    'Kind string "json:\\"kind,omitempty\\"" }'
)


def _check_shape(call: Call, *, is_list: bool) -> None:
    """Refuse a list as one object's metadata, and the other way round; raises APIStatusError."""
    wrong = negotiation.PARTIAL if is_list else negotiation.PARTIAL_LIST
    if call.form.shape != wrong:
        return
    if call.kind.builtin is None:
        found = "*unstructured.UnstructuredList" if is_list else "*unstructured.Unstructured"
    else:
        found = f"*core.{call.kind.resource.list_name if is_list else call.kind.name}"
    what = "is a list" if is_list else "is not a list"
    raise failures.wrong_shape(f"you requested {wrong}, but the requested object {what} ({found})")


def _unrecognized(kind: kinds.Kind, data: bytes, why: str) -> errors.APIStatusError:
    shown = data[:_SHOWN_BYTES]
    summary = shown.decode(errors="replace") if data.startswith(b"{") else shown.hex()
    if len(data) > _SHOWN_BYTES:
        summary += " ..."
    return failures.bad_request(
        f"the object provided is unrecognized (must be of type {kind.name}): couldn't get "
        f"version/kind; json parse error: {why} ({summary or '<empty>'})"
    )


def _no_object(value: Any) -> str:
    """What Go says of JSON that should have been an object."""
    what = decoding.json_kind(value)
    return f"json: cannot unmarshal {what} into Go value of type {_TYPE_META}"


def _checked_options(value: Any) -> Mapping[str, Any]:
    """DeleteOptions of the right types; raises APIStatusError."""
    kinds_of = {
        "preconditions": dict,
        "dryRun": list,
        "propagationPolicy": str,
        "orphanDependents": bool,
        "gracePeriodSeconds": int,
    }
    if not isinstance(value, dict):
        raise failures.bad_request("DeleteOptions must be an object")
    if value.get("kind", "DeleteOptions") != "DeleteOptions":
        raise failures.plain_500(
            f'no kind "{value["kind"]}" is registered for version "meta.k8s.io/v1" in scheme '
            '"k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27"'
        )
    for field, wanted in kinds_of.items():
        if value.get(field) is not None and not isinstance(value[field], wanted):
            raise failures.bad_request(f"DeleteOptions.{field} has the wrong type")
    return {key: item for key, item in value.items() if item is not None}


def _check_patch_options(call: Call, options: requests.WriteOptions, *, is_apply: bool) -> None:
    found: list[fielderrors.FieldError] = []
    if is_apply and not call.query.text("fieldManager"):
        found.append(fielderrors.required("fieldManager", "is required for apply patch"))
    if not is_apply and options.has_force:
        text = "may not be specified for non-apply patch"
        found.append(fielderrors.forbidden("force", text))
    if found:
        raise failures.invalid("meta.k8s.io", "PatchOptions", "", found)


def _decode_patch(data: bytes, media_type: str, *, is_strict: bool) -> bodies.Decoded:
    try:
        return bodies.decode(data, content_type=media_type, is_strict=is_strict)
    except errors.InvalidInputError as error:
        if media_type == bodies.APPLY_PATCH:
            raise failures.bad_request(f"error decoding YAML: {error}") from error
        prefix = "error decoding patch: " if media_type == bodies.MERGE_PATCH else ""
        raise failures.bad_request(f"{prefix}{error}") from error


def _changed(
    kind: kinds.Kind, present: dict[str, Any], patch: Any, media_type: str
) -> dict[str, Any]:
    if media_type == bodies.JSON_PATCH:
        changed = _json_patched(present, patch)
    elif not isinstance(patch, dict):
        what = decoding.json_kind(patch)
        prefix = "error decoding patch: " if media_type == bodies.MERGE_PATCH else ""
        raise failures.bad_request(
            f"{prefix}json: cannot unmarshal {what} into Go value of type map[string]interface {{}}"
        )
    elif media_type == bodies.STRATEGIC_PATCH and kind.builtin is not None:
        changed = _strategically_merged(kind.builtin, present, patch)
    else:
        # Custom resources have no merge keys: a strategic patch is taken as a JSON merge patch.
        changed = mergepatch.apply(present, patch)
    if not isinstance(changed, dict):
        raise failures.patch_does_not_fit()
    return changed


def _json_patched(present: dict[str, Any], patch: Any) -> Any:
    try:
        return jsonpatch.apply(present, patch)
    except errors.PatchFailedError as error:
        raise failures.patch_does_not_fit() from error
    except errors.InvalidInputError as error:
        if "maximum operations" in str(error):
            raise failures.too_large(str(error)) from error
        raise failures.bad_request(str(error)) from error


def _strategically_merged(
    builtin: builtins.Builtin, present: dict[str, Any], patch: Mapping[str, Any]
) -> dict[str, Any]:
    try:
        return builtins.strategic_merge(builtin, present, patch)
    except errors.InvalidInputError as error:
        raise failures.bad_request(str(error)) from error


def _unshaped(form: negotiation.Form) -> negotiation.Form:
    return negotiation.Form(form.media_type, is_pretty=form.is_pretty)
