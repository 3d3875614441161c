"""Watching for as long as somebody looks: one stream of the API after the other."""

import asyncio
import contextlib
import typing
from collections.abc import AsyncGenerator

from ocisource import errors

if typing.TYPE_CHECKING:
    from ocisource.kube import answers, client, resources

_STREAM = 300.0  # seconds asked of the server for one stream
_PAUSE = 1.0  # seconds before the next one
_GONE = 410  # the version is too old: from the start again

T = typing.TypeVar("T")


async def changes(
    api: "client.Client", resource: "resources.Resource[T]", scope: "client.Scope"
) -> AsyncGenerator["answers.WatchEvent[T]", None]:
    """What there is, and then each change, without end; raises APIStatusError, TransportError."""
    version = ""
    while True:
        stream = api.watch(resource, scope, resource_version=version, duration=_STREAM)
        try:
            async with contextlib.aclosing(stream) as events:
                async for event in events:
                    version = event.metadata.resource_version or version
                    yield event
        except errors.DeadlineError:
            pass  # silence: nothing changes
        except errors.APIStatusError as error:
            if error.code != _GONE:
                raise
            version = ""
        await asyncio.sleep(_PAUSE)
