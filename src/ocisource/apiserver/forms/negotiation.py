"""Which form of an answer the client wants: its Accept header against what we can write.

Media ranges as RFC 9110 section 12.5.1, with the parameters ``as``, ``v`` and ``g`` by which
Kubernetes clients ask for Tables, metadata alone and aggregated discovery. Protobuf and CBOR are
never written: clients that prefer them name JSON as well.
"""

import dataclasses
import functools
from collections.abc import Iterator

from ocisource.apiserver.wording import failures

JSON = "application/json"
YAML = "application/yaml"
# What kube-apiserver says it offers; protobuf is read here, and never written.
OFFERED = (JSON, YAML, "application/vnd.kubernetes.protobuf")
MAX_RANGES = 64  # media ranges that are looked at

TABLE = "Table"
PARTIAL = "PartialObjectMetadata"
PARTIAL_LIST = "PartialObjectMetadataList"
DISCOVERY = "APIGroupDiscoveryList"
_META = {("meta.k8s.io", "v1"), ("meta.k8s.io", "v1beta1")}
_DISCOVERY = {("apidiscovery.k8s.io", "v2"), ("apidiscovery.k8s.io", "v2beta1")}


@dataclasses.dataclass(frozen=True, slots=True)
class Form:
    """How to write an answer; ``shape`` is empty for the object itself."""

    media_type: str = JSON
    shape: str = ""
    group: str = ""
    version: str = ""
    is_pretty: bool = False

    @property
    def content_type(self) -> str:
        """The Content-Type of the answer; aggregated discovery repeats its parameters."""
        if self.shape == DISCOVERY:
            return f"{self.media_type};g={self.group};v={self.version};as={self.shape}"
        return self.media_type

    @property
    def is_table(self) -> bool:
        """Whether rows and columns are wanted."""
        return self.shape == TABLE

    @property
    def is_partial(self) -> bool:
        """Whether metadata alone is wanted."""
        return self.shape in (PARTIAL, PARTIAL_LIST)


PLAIN = Form()


@functools.lru_cache(maxsize=64)  # clients say the same in every request
def choose(
    accept: str, *, shapes: frozenset[str], is_pretty: bool = False, is_custom: bool = False
) -> Form:
    """The first form that the client accepts and we can write; raises APIStatusError (406).

    Custom resources, and shapes nobody knows, are refused with the list of media types; other
    paths with the shorter text of the layer before that one.
    """
    if not accept.strip():
        return Form(is_pretty=is_pretty)
    is_known = is_custom
    for media_type, parameters in _ranges(accept):
        written = _media_type(media_type)
        if written is None:
            continue
        is_known = True
        shape = parameters.get("as", "")
        group, version = parameters.get("g", ""), parameters.get("v", "")
        if not shape:
            return Form(written, is_pretty=is_pretty)
        known = _DISCOVERY if shape == DISCOVERY else _META
        if shape in shapes and (group, version) in known:
            return Form(written, shape, group, version, is_pretty)
    raise failures.none_of(OFFERED) if is_known else failures.not_acceptable()


OBJECT_SHAPES = frozenset({TABLE, PARTIAL, PARTIAL_LIST})
NO_SHAPES: frozenset[str] = frozenset()
DISCOVERY_SHAPES = frozenset({DISCOVERY})


def _media_type(wanted: str) -> str | None:
    if wanted in {"*/*", "application/*", JSON}:
        return JSON
    return YAML if wanted == YAML else None


def _ranges(accept: str) -> Iterator[tuple[str, dict[str, str]]]:
    found: list[tuple[float, int, str, dict[str, str]]] = []
    for position, clause in enumerate(accept.split(",", MAX_RANGES)[:MAX_RANGES]):
        media_type, *rest = (part.strip() for part in clause.split(";"))
        parameters = {
            key.strip().lower(): value.strip().strip('"')
            for key, _, value in (part.partition("=") for part in rest)
        }
        found.append((-_quality(parameters), position, media_type.lower(), parameters))
    for quality, _, media_type, parameters in sorted(found, key=lambda each: each[:2]):
        if quality:
            yield media_type, parameters


def _quality(parameters: dict[str, str]) -> float:
    try:
        return min(max(float(parameters.get("q", "1")), 0.0), 1.0)
    except ValueError:
        return 1.0
