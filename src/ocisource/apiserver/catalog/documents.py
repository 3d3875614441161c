"""The OpenAPI documents, made when they are first asked for and kept until the resources change.

v2 is one document as JSON or protobuf; v3 is an index and one document for each group and
version, whose address carries a hash so that clients may keep it for ever.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from ocisource.apiserver import resources
from ocisource.apiserver.catalog import discovery, openapi, openapiproto
from ocisource.apiserver.forms import answers, negotiation, presenting

V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_ASKED_PROTOBUF = (
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
)


class Documents:
    """The documents of a registry."""

    def __init__(self, registry: resources.Registry) -> None:
        self._registry = registry
        self._generation = -1
        self._kept: dict[str, tuple[bytes, str]] = {}
        self._groups: dict[str, dict[str, Any]] = {}

    def find(self, parts: list[str], *, accept: str) -> answers.Answer | None:
        """The document at ``/openapi/...``, None if there is none."""
        if self._generation != self._registry.generation:
            self._generation = self._registry.generation
            self._kept.clear()
            self._groups = self._all_groups()
        match parts:
            case ["v2"]:
                return self._v2(accept)
            case ["v3"]:
                return self._answer("v3", openapi.v3_index(self._groups))
            case ["v3", *rest] if "/".join(rest) in self._groups:
                path = "/".join(rest)
                return self._answer(path, self._groups[path])
        return None

    def _all_groups(self) -> dict[str, dict[str, Any]]:
        return {
            openapi.v3_path(group, version): openapi.v3_group(
                self._registry, group, version, server_version=discovery.VERSION["gitVersion"]
            )
            for group, versions in self._registry.groups().items()
            for version in versions
        }

    def _v2(self, accept: str) -> answers.Answer:
        wants_protobuf = any(name in accept for name in _ASKED_PROTOBUF)
        key = "v2.protobuf" if wants_protobuf else "v2"
        if key not in self._kept:
            document = openapi.v2(self._registry, server_version=discovery.VERSION["gitVersion"])
            encode = openapiproto.encode if wants_protobuf else presenting.encode
            self._kept[key] = _tagged(encode(document))
        body, etag = self._kept[key]
        media_type = V2_PROTOBUF if wants_protobuf else negotiation.JSON
        return answers.Answer(body, content_type=media_type, headers=_headers(etag))

    def _answer(self, key: str, document: Mapping[str, Any]) -> answers.Answer:
        if key not in self._kept:
            self._kept[key] = _tagged(presenting.encode(document))
        body, etag = self._kept[key]
        return answers.Answer(body, headers=_headers(etag))


def _tagged(body: bytes) -> tuple[bytes, str]:
    return body, f'"{hashlib.sha256(body).hexdigest().upper()}"'


def _headers(etag: str) -> dict[str, str]:
    return {"ETag": etag, "Vary": "Accept"}
