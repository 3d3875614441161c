"""The live table of `ocisource up`: NAME URL READY STATUS AGE, or a line per change off a terminal.

A line off a terminal is ``NAME URL READY STATUS``, flushed at once and never wrapped, so that
scripts can follow it.
"""

import time
import types
import typing
from collections.abc import Callable, Iterable

import rich.console
import rich.live
import rich.table
import rich.text

from ocisource.api import conditions, ocirepository
from ocisource.wire import timestamps

REFRESH_PER_SECOND = 4
_STYLES = {conditions.TRUE: "green", conditions.FALSE: "red", conditions.UNKNOWN: "yellow"}
_STEPS = (("d", 86400.0), ("h", 3600.0), ("m", 60.0), ("s", 1.0))

Objects = Callable[[], Iterable[ocirepository.OCIRepository]]


def name_of(obj: ocirepository.OCIRepository) -> str:
    """The name as the table shows it: with its namespace, unless that is ``default``."""
    meta = obj.metadata
    return meta.name if meta.namespace == "default" else f"{meta.namespace}/{meta.name}"


def state_of(obj: ocirepository.OCIRepository) -> tuple[str, str]:
    """READY and STATUS of an object, as the printer columns have them."""
    ready = conditions.get(obj.status.conditions, conditions.READY)
    if obj.spec.suspend:
        message = ready.message if ready is not None else ""
        return (ready.status if ready is not None else "", f"suspended; {message}".rstrip("; "))
    if ready is None:
        return "", ""
    return ready.status, ready.message


def age(created: str | None, *, now: float) -> str:
    """How long ago, in the largest unit that fits."""
    if not created:
        return ""
    seconds = max(now - timestamps.parse(created), 0.0)
    for unit, length in _STEPS:
        if seconds >= length:
            return f"{int(seconds // length)}{unit}"
    return "0s"


class LiveTable:
    """Redraws the table on a terminal until it is left."""

    def __init__(
        self,
        console: rich.console.Console,
        objects: Objects,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._objects = objects
        self._clock = clock
        self._live = rich.live.Live(
            get_renderable=self.render,
            console=console,
            refresh_per_second=REFRESH_PER_SECOND,
            transient=False,
        )

    def __enter__(self) -> typing.Self:
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def render(self) -> rich.table.Table:
        """The table as it is now."""
        table = rich.table.Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("NAME", no_wrap=True)
        # Wraps where the terminal is narrow: READY and STATUS are what people look for.
        table.add_column("URL", overflow="fold")
        table.add_column("READY", no_wrap=True)
        table.add_column("STATUS", overflow="fold", ratio=1)
        table.add_column("AGE", no_wrap=True)
        now = self._clock()
        for obj in sorted(self._objects(), key=name_of):
            ready, status = state_of(obj)
            table.add_row(
                rich.text.Text(name_of(obj)),
                rich.text.Text(obj.spec.url),
                rich.text.Text(ready, style=_STYLES.get(ready, "")),
                rich.text.Text(status),
                rich.text.Text(age(obj.metadata.creation_timestamp, now=now)),
            )
        return table


class Lines:
    """Prints a line whenever READY or STATUS of an object changes."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._last: dict[str, tuple[str, str]] = {}

    def show(self, obj: ocirepository.OCIRepository) -> None:
        """Print the object's line if it differs from the last one."""
        state = state_of(obj)
        name = name_of(obj)
        if not any(state) or self._last.get(name) == state:
            return
        self._last[name] = state
        self._write(" ".join((name, obj.spec.url, *state)))

    def forget(self, obj: ocirepository.OCIRepository) -> None:
        """The object is gone; another of its name starts anew."""
        self._last.pop(name_of(obj), None)
