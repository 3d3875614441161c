"""The live table of `ocisource up`: NAME URL READY STATUS AGE, or a line per change off a terminal.

A line off a terminal is ``NAME URL READY STATUS``, flushed at once and never wrapped, so that
scripts can follow it.
"""

import time
import types
import typing
from collections.abc import Callable, Iterable, Sequence

import rich.console
import rich.live
import rich.table
import rich.text

from ocisource.api import conditions, ocirepository
from ocisource.cli import output
from ocisource.wire import timestamps

REFRESH_PER_SECOND = 4
_HEADER = ("NAME", "URL", "READY", "STATUS", "AGE")
_GAP = 2  # columns between two of the table
_WRAPPING = frozenset({"URL", "STATUS"})
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
    """Redraws the table on a terminal until it is left.

    What does not fit the terminal's height is left out, sources that are Ready first; the table
    that stays on the screen at the end is whole. A terminal that has changed its width has wrapped
    what stood there, so the screen is drawn anew, ``heading`` first.
    """

    def __init__(
        self,
        console: rich.console.Console,
        objects: Objects,
        *,
        heading: Sequence[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._console = console
        self._objects = objects
        self._heading = heading
        self._clock = clock
        self._is_whole = False
        self._live = self._new()

    def _new(self) -> rich.live.Live:
        return rich.live.Live(
            get_renderable=self.render,
            console=self._console,
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
        self._is_whole = True
        self._live.__exit__(kind, error, trace)

    def resized(self) -> None:
        """The terminal has another size now."""
        if self._is_whole:
            return
        self._live.stop()
        self._console.clear()
        for line in self._heading:
            self._console.print(line, markup=False)
        self._live = self._new()
        self._live.start(refresh=True)

    def render(self) -> rich.console.RenderableType:
        """The table as it is now."""
        found = sorted(self._objects(), key=name_of)
        table = self._table(found)
        room = self._console.size.height - 1  # a line for the cursor
        if self._is_whole or self._height(table) <= room:
            return table
        if len(found) <= room - 1:
            return self._table(found, is_narrow=True)
        # Stable: each part stays in the order of names.
        found.sort(key=lambda obj: state_of(obj)[0] == conditions.TRUE)
        shown, hidden = found[: room - 2], found[room - 2 :]
        poor = sum(state_of(obj)[0] != conditions.TRUE for obj in hidden)
        note = f"… {len(hidden)} more, {f'{poor} of them not Ready' if poor else 'all Ready'}"
        return rich.console.Group(
            self._table(shown, is_narrow=True), rich.text.Text(note, style="dim")
        )

    def _height(self, table: rich.table.Table) -> int:
        return len(self._console.render_lines(table, pad=False))

    def _table(
        self, found: Sequence[ocirepository.OCIRepository], *, is_narrow: bool = False
    ) -> rich.table.Table:
        """The table of some sources, each on a line of its own if it ``is_narrow``."""
        table = rich.table.Table(box=None, pad_edge=False, header_style="bold")
        rows = [self._row(obj) for obj in found]
        widths = self._widths(rows) if is_narrow else [None] * len(_HEADER)
        for label, width in zip(_HEADER, widths, strict=True):
            # Wraps where the terminal is narrow: READY and STATUS are what people look for.
            wraps = label in _WRAPPING and not is_narrow
            table.add_column(
                label,
                overflow="fold" if wraps else "ellipsis",
                no_wrap=not wraps,
                ratio=1 if label == "STATUS" and not is_narrow else None,
                width=width,
            )
        for name, url, ready, status, old in rows:
            shown = rich.text.Text(ready, style=_STYLES.get(ready, ""))
            table.add_row(*map(rich.text.Text, (name, url)), shown, rich.text.Text(status), old)
        return table

    def _row(self, obj: ocirepository.OCIRepository) -> tuple[str, ...]:
        created = obj.metadata.creation_timestamp
        said = (name_of(obj), obj.spec.url, *state_of(obj))
        return *map(output.visible, said), age(created, now=self._clock())

    def _widths(self, rows: Sequence[Sequence[str]]) -> list[int | None]:
        """Columns that are as wide as they must be; URL and STATUS share what is left."""
        name, url, ready, _, old = (
            max(len(each) for each in column) for column in zip(_HEADER, *rows, strict=True)
        )
        gaps = _GAP * (len(_HEADER) - 1)
        left = self._console.size.width - name - ready - old - gaps
        url = max(min(url, left // 3), 1)
        return [name, url, ready, max(left - url, 1), old]


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
