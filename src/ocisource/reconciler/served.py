"""Served: notice that the cluster serves OCIRepository in another version than we speak.

A definition is upgraded while we run, and one day the version that we found at our start is no
longer served. Lists then answer 404, which by itself says little: a restarting API server does the
same for a moment. So the cluster is asked again what it serves, and only another version ends the
controller; whoever runs it starts it anew, and it begins with that version.

Example::

    served = Served(resource, find=lambda: serve.ocirepositories(api))
    mirror = reflector.Reflector(api, resource, scope, report=served.report)
    await served.run()   # raises OcisourceError when the version has changed
"""

import asyncio
from collections.abc import Awaitable, Callable

from ocisource import errors
from ocisource.api import ocirepository
from ocisource.kube import answers, resources

Resource = resources.Resource[ocirepository.OCIRepository]


class Served:
    """Watches over the version of one resource; ``find`` asks what is served now."""

    def __init__(self, resource: Resource, *, find: Callable[[], Awaitable[Resource]]) -> None:
        self._resource = resource
        self._find = find
        self._is_missed = asyncio.Event()
        self.complaint = ""
        """Why the last list or watch failed; "" when it did not."""

    def report(self, failure: Exception | None) -> None:
        """Take note of a failed list or watch, or of the recovery."""
        self.complaint = str(failure) if isinstance(failure, errors.OcisourceError) else ""
        if failure is not None and not self.complaint:
            self.complaint = type(failure).__name__
        if isinstance(failure, errors.APIStatusError) and answers.is_not_found(failure):
            self._is_missed.set()

    async def run(self) -> None:
        """Ask after each report of a 404; raises OcisourceError when the version has changed."""
        while True:
            await self._is_missed.wait()
            self._is_missed.clear()
            try:
                found = await self._find()
            except errors.OcisourceError:
                continue  # not served at all, or no answer: the next failed list asks again
            if found.version != self._resource.version:
                raise errors.OcisourceError(
                    f"the cluster serves {found.plural} in {found.version} and no longer in "
                    f"{self._resource.version}: start again to go on with {found.version}"
                )
