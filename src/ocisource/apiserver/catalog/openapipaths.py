"""The operations of the OpenAPI documents: one set of paths for each resource.

Written once in v2's form; ``in_v3`` turns it into the newer one.
"""

from collections.abc import Mapping
from typing import Any

from ocisource.apiserver import resources
from ocisource.apiserver.builtin import builtintypes

Item = dict[str, Any]

BEARER: Mapping[str, str] = {
    "description": "Bearer Token authentication",
    "type": "apiKey",
    "name": "authorization",
    "in": "header",
}
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

_BODIES = ("application/json", "application/yaml")
_PRODUCES = ("application/json", "application/yaml")
_STREAMS = (*_PRODUCES, "application/json;stream=watch")
_STATUS = f"#/definitions/{builtintypes.META}.Status"
_ROOT = "#/definitions/"


def _query(name: str, kind: str, description: str) -> Mapping[str, Any]:
    return {
        "uniqueItems": True,
        "type": kind,
        "description": description,
        "name": name,
        "in": "query",
    }


_DRY_RUN = _query("dryRun", "string", "All: everything is checked, nothing is changed.")
_MANAGER = _query("fieldManager", "string", "Who writes; at most 128 printable characters.")
_VALIDATION = _query(
    "fieldValidation",
    "string",
    "What becomes of unknown and duplicate fields: Ignore drops them, Warn (the default) drops "
    "them with a warning, Strict refuses the request.",
)
_FORCE = _query("force", "boolean", "For apply: take fields that others own.")
_PRETTY = _query("pretty", "string", "true: the answer is indented.")
_WRITING = (_DRY_RUN, _MANAGER, _VALIDATION)
_DELETING = (
    _DRY_RUN,
    _query("gracePeriodSeconds", "integer", "Seconds to end in; 0 is at once."),
    _query("orphanDependents", "boolean", "Superseded by propagationPolicy."),
    _query("propagationPolicy", "string", "Orphan, Background or Foreground."),
)
_LISTING = (
    _query("allowWatchBookmarks", "boolean", "Send bookmarks on a watch."),
    _query("continue", "string", "Where the next page begins, from the last one's metadata."),
    _query("fieldSelector", "string", "Restricts the list by fields."),
    _query("labelSelector", "string", "Restricts the list by labels."),
    _query("limit", "integer", "At most so many objects on a page."),
    _query("resourceVersion", "string", "How fresh the answer must be."),
    _query("resourceVersionMatch", "string", "NotOlderThan or Exact."),
    _query("sendInitialEvents", "boolean", "A watch begins with what is there."),
    _query("timeoutSeconds", "integer", "How long the call may take."),
    _query("watch", "boolean", "Stream changes instead of listing."),
)


def of(resource: resources.Resource, version: str, definition: str) -> dict[str, Item]:
    """The paths of a resource in one version; ``definition`` names its schema."""
    root = f"/apis/{resource.group}/{version}" if resource.group else f"/api/{version}"
    writer = _Writer(resource, version, definition)
    place = f"{root}/namespaces/{{namespace}}" if resource.is_namespaced else root
    paths: dict[str, Item] = {f"{place}/{resource.plural}": writer.collection()}
    if resource.is_namespaced and "list" in resource.verbs:
        everywhere = {"get": writer.listing(), "parameters": [_PRETTY]}
        paths[f"{root}/{resource.plural}"] = everywhere
    if "get" in resource.verbs:
        one = f"{place}/{resource.plural}/{{name}}"
        paths[one] = writer.single()
        served = resource.version(version)
        if served is not None and served.has_status:
            paths[f"{one}/status"] = writer.status()
    return paths


class _Writer:
    """Writes the operations of one resource in one version."""

    def __init__(self, resource: resources.Resource, version: str, definition: str) -> None:
        self._resource = resource
        self._version = version
        self._schema = {"$ref": f"{_ROOT}{definition}"}
        self._list = {"$ref": f"{_ROOT}{definition}List"}

    def collection(self) -> Item:
        """List, create and delete many."""
        verbs = self._resource.verbs
        item: Item = {}
        if "list" in verbs:
            item["get"] = self.listing()
        if "create" in verbs:
            item["post"] = self._writing("create", "post", codes=(200, 201, 202))
        if "deletecollection" in verbs:
            item["delete"] = self._operation(
                "delete collection of",
                "deletecollection",
                (*_DELETING, *_LISTING),
                answer={"$ref": _STATUS},
            )
        return {**item, "parameters": self._places(has_name=False)}

    def listing(self) -> Item:
        """List, or watch."""
        return self._operation("list", "list", _LISTING, answer=self._list, produces=_STREAMS)

    def single(self) -> Item:
        """Get, replace, change and delete one."""
        verbs = self._resource.verbs
        item: Item = {"get": self._operation("read", "get", (), answer=self._schema)}
        if "update" in verbs:
            item["put"] = self._writing("replace", "put", codes=(200, 201))
        if "delete" in verbs:
            item["delete"] = self._operation(
                "delete", "delete", _DELETING, answer={"$ref": _STATUS}, codes=(200, 202)
            )
        if "patch" in verbs:
            item["patch"] = self._patching()
        return {**item, "parameters": self._places(has_name=True)}

    def status(self) -> Item:
        """Get, replace and change the status of one."""
        return {
            "get": self._operation("read status of", "get", (), answer=self._schema),
            "put": self._writing("replace status of", "put", codes=(200, 201)),
            "patch": self._patching(),
            "parameters": self._places(has_name=True),
        }

    def _patching(self) -> Item:
        consumes = [JSON_PATCH, MERGE_PATCH]
        if not self._resource.is_custom:
            consumes.append(STRATEGIC_PATCH)
        body = {"$ref": f"{_ROOT}{builtintypes.META}.Patch"}
        return self._operation(
            "partially update",
            "patch",
            (_body(body), *_WRITING, _FORCE),
            answer=self._schema,
            codes=(200, 201),
            consumes=(*consumes, APPLY_PATCH),
        )

    def _writing(self, verb: str, action: str, *, codes: tuple[int, ...]) -> Item:
        parameters = (_body(self._schema), *_WRITING)
        return self._operation(verb, action, parameters, answer=self._schema, codes=codes)

    def _operation(
        self,
        verb: str,
        action: str,
        parameters: tuple[Mapping[str, Any], ...],
        *,
        answer: Mapping[str, Any],
        codes: tuple[int, ...] = (200,),
        consumes: tuple[str, ...] = _BODIES,
        produces: tuple[str, ...] = _PRODUCES,
    ) -> Item:
        kind = self._resource.kind
        responses: Item = {
            str(code): {"description": _REASONS[code], "schema": dict(answer)} for code in codes
        }
        responses["401"] = {"description": _REASONS[401]}
        return {
            "description": f"{verb} {kind}",
            "consumes": list(consumes),
            "produces": list(produces),
            "schemes": ["https"],
            "parameters": [dict(each) for each in parameters],
            "responses": responses,
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": {
                "group": self._resource.group,
                "kind": kind,
                "version": self._version,
            },
        }

    def _places(self, *, has_name: bool) -> list[Mapping[str, Any]]:
        kind = self._resource.kind
        found = []
        if has_name:
            found.append(_place("name", f"name of the {kind}"))
        if self._resource.is_namespaced:
            found.append(_place("namespace", "the namespace it is in"))
        return [*found, _PRETTY]


_REASONS = {200: "OK", 201: "Created", 202: "Accepted", 401: "Unauthorized"}


def _body(schema: Mapping[str, Any]) -> Item:
    return {"name": "body", "in": "body", "required": True, "schema": dict(schema)}


def _place(name: str, description: str) -> Item:
    return {
        "uniqueItems": True,
        "type": "string",
        "description": description,
        "name": name,
        "in": "path",
        "required": True,
    }


def in_v2(item: Item) -> Item:
    """A path item as v2 has it."""
    return item


def in_v3(item: Item) -> Item:
    """A path item as v3 has it: bodies apart from parameters, schemas under media types."""
    shown: Item = {}
    for name, value in item.items():
        if name == "parameters":
            shown[name] = [_parameter_in_v3(each) for each in value]
        else:
            shown[name] = _operation_in_v3(value)
    return shown


def _operation_in_v3(operation: Item) -> Item:
    bodies = [each for each in operation["parameters"] if each["in"] == "body"]
    shown: Item = {
        "description": operation["description"],
        "parameters": [
            _parameter_in_v3(each) for each in operation["parameters"] if each["in"] != "body"
        ],
        "responses": {
            code: _response_in_v3(response, operation["produces"])
            for code, response in operation["responses"].items()
        },
    }
    if bodies:
        schema = _reference_in_v3(bodies[0]["schema"])
        content = {form: {"schema": schema} for form in operation["consumes"]}
        shown["requestBody"] = {"content": content, "required": True}
    return shown | {name: value for name, value in operation.items() if name.startswith("x-")}


def _response_in_v3(response: Item, produces: list[str]) -> Item:
    shown: Item = {"description": response["description"]}
    if "schema" in response:
        schema = _reference_in_v3(response["schema"])
        shown["content"] = {form: {"schema": schema} for form in produces}
    return shown


def _parameter_in_v3(parameter: Mapping[str, Any]) -> Item:
    shown = {
        name: parameter[name]
        for name in ("name", "in", "description", "required")
        if name in parameter
    }
    return {**shown, "schema": {"type": parameter["type"], "uniqueItems": True}}


def _reference_in_v3(schema: Mapping[str, Any]) -> Item:
    return {"$ref": str(schema["$ref"]).replace(_ROOT, "#/components/schemas/")}
