"""Equal texts kept once: what thousands of cached objects repeat costs memory once.

A decoder makes a new string of each value. Reasons, namespaces and intervals are the same all over;
within one object the message of Ready is that of ArtifactInStorage, and times repeat.
"""

import sys
from collections.abc import Callable

import msgspec

from ocisource.api import conditions, meta, ocirepository

replace = msgspec.structs.replace


def shared(obj: ocirepository.OCIRepository) -> ocirepository.OCIRepository:
    """An equal object that shares its texts with others, and among its parts."""
    own: dict[str, str] = {}

    def once(text: str) -> str:
        return own.setdefault(text, text)

    intern = sys.intern
    return replace(
        obj,
        api_version=intern(obj.api_version),
        kind=intern(obj.kind),
        metadata=_metadata(obj.metadata, once),
        spec=replace(
            obj.spec,
            interval=intern(obj.spec.interval),
            timeout=intern(obj.spec.timeout),
            provider=intern(obj.spec.provider),
        ),
        status=replace(
            obj.status,
            conditions=tuple(_condition(each, once) for each in obj.status.conditions),
            content_config_checksum=intern(obj.status.content_config_checksum),
        ),
    )


def _metadata(metadata: meta.ObjectMeta, once: Callable[[str], str]) -> meta.ObjectMeta:
    intern = sys.intern
    created = metadata.creation_timestamp
    return replace(
        metadata,
        namespace=intern(metadata.namespace),
        creation_timestamp=None if created is None else once(created),
        finalizers=tuple(intern(each) for each in metadata.finalizers),
        labels={intern(key): value for key, value in metadata.labels.items()},
        annotations={intern(key): value for key, value in metadata.annotations.items()},
    )


def _condition(condition: conditions.Condition, once: Callable[[str], str]) -> conditions.Condition:
    intern = sys.intern
    return replace(
        condition,
        type=intern(condition.type),
        status=intern(condition.status),
        reason=intern(condition.reason),
        message=once(condition.message),
        last_transition_time=once(condition.last_transition_time),
    )
