"""The newest objects that are known: the informer's, or what a write of ours has just returned.

An informer lags a little behind our own writes. A run that started from the older state would
write conflicts and repeat itself, so the answer of a write is used until the informer caught up.
"""

import typing

from ocisource.api import ocirepository
from ocisource.controller import request as requests


class Cache(typing.Protocol):
    """The informer, as far as it is asked here."""

    def get(self, key: requests.Request) -> ocirepository.OCIRepository | None:
        """The object as last seen."""
        ...


class Newest:
    """Answers from the cache and from our own writes, whichever is newer."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._written: dict[requests.Request, ocirepository.OCIRepository] = {}

    def get(self, request: requests.Request) -> ocirepository.OCIRepository | None:
        """The object, or None when there is none."""
        seen = self._cache.get(request)
        written = self._written.get(request)
        if seen is None or written is None:
            return seen
        if seen.metadata.uid != written.metadata.uid or not _is_newer(written, seen):
            del self._written[request]
            return seen
        return written

    def remember(self, obj: ocirepository.OCIRepository) -> None:
        """A write of ours returned this; kept only until the informer has seen as much."""
        request = requests.Request(obj.metadata.namespace, obj.metadata.name)
        seen = self._cache.get(request)
        if seen is not None and seen.metadata.uid == obj.metadata.uid and not _is_newer(obj, seen):
            # The watch was quicker than the answer: nobody would come to drop this one before the
            # object's next run, and thousands of second copies are a lot of memory.
            self._written.pop(request, None)
            return
        self._written[request] = obj

    def observe(self, obj: ocirepository.OCIRepository) -> None:
        """The informer has seen this; what is older is dropped."""
        request = requests.Request(obj.metadata.namespace, obj.metadata.name)
        written = self._written.get(request)
        if written is not None and not _is_newer(written, obj):
            del self._written[request]

    def forget(self, obj: ocirepository.OCIRepository) -> None:
        """The informer has seen it go."""
        self._written.pop(requests.Request(obj.metadata.namespace, obj.metadata.name), None)


def _is_newer(one: ocirepository.OCIRepository, other: ocirepository.OCIRepository) -> bool:
    """Compare resourceVersions, which are numbers on every server that is known.

    Where they are not, the informer's is believed.
    """
    left, right = one.metadata.resource_version, other.metadata.resource_version
    return left.isdecimal() and right.isdecimal() and int(left) > int(right)
