"""The live table of `ocisource up`."""

import io
from collections.abc import Sequence

import pytest
import rich.console

from ocisource.api import conditions, meta, ocirepository
from ocisource.cli.machines import live

CREATED = "2022-06-14T11:23:36Z"
NOW = 1655205876.0  # a minute and a half later


def source(
    name: str = "podinfo",
    *,
    status: str = "False",
    message: str = "couldn't find tag",
    url: str = "oci://registry.example.com/team/very/long/path",
) -> ocirepository.OCIRepository:
    """A source with a Ready condition."""
    ready = conditions.Condition(
        type="Ready",
        status=status,
        reason="x",
        message=message,
        last_transition_time="2026-01-01T00:00:00Z",
    )
    return ocirepository.OCIRepository(
        metadata=meta.ObjectMeta(name=name, namespace="default", creation_timestamp=CREATED),
        spec=ocirepository.Spec(url=url, interval="5m"),
        status=ocirepository.Status(conditions=(ready,)),
    )


def shown(
    objects: Sequence[ocirepository.OCIRepository], *, width: int, height: int = 25
) -> list[str]:
    """The lines of the table on a terminal of that size."""
    console = rich.console.Console(file=io.StringIO(), width=width, height=height)
    table = live.LiveTable(console, lambda: objects, clock=lambda: NOW)
    with console.capture() as captured:
        console.print(table.render())
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [60, 80])
def test_ready_and_status_are_readable_on_a_narrow_terminal(width: int) -> None:
    """A long address wraps rather than push out what went wrong."""
    lines = shown([source()], width=width)
    text = "\n".join(lines)
    assert "READY" in text
    assert "False" in text
    assert "couldn't find" in text
    assert all(len(line) <= width for line in lines)


def test_a_screen_too_low_for_wrapped_rows_has_a_row_for_each_source() -> None:
    """Long messages are cut rather than push sources off the screen."""
    objects = [source(f"app-{number}", message="long " * 50) for number in range(8)]
    lines = shown(objects, width=80, height=12)
    assert lines[0].split() == ["NAME", "URL", "READY", "STATUS", "AGE"]
    assert [line.split()[0] for line in lines[1:]] == [f"app-{number}" for number in range(8)]
    for line in lines[1:]:
        assert "False" in line
        assert line.rstrip().endswith("1m")
        assert len(line) <= 80


def test_what_is_not_ready_comes_first_where_not_all_fit() -> None:
    """The rest is counted, and what is wrong among it."""
    objects = [source(f"app-{n:02}", status="False" if n % 20 == 7 else "True") for n in range(40)]
    lines = shown(objects, width=80, height=10)
    assert len(lines) == 9
    assert [line.split()[0] for line in lines[1:4]] == ["app-07", "app-27", "app-00"]
    assert lines[-1] == "… 33 more, all Ready"
    poor = [source(f"app-{n:02}") for n in range(40)]
    assert shown(poor, width=80, height=10)[-1] == "… 33 more, 33 of them not Ready"


def test_the_last_table_is_whole() -> None:
    """What stays on the screen at the end leaves nothing out."""
    objects = [source(f"app-{number:02}") for number in range(40)]
    console = rich.console.Console(file=io.StringIO(), width=80, height=10, force_terminal=True)
    with live.LiveTable(console, lambda: objects, clock=lambda: NOW):
        pass
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert all(f"app-{number:02}" in text for number in range(40))


def test_another_width_draws_the_screen_anew() -> None:
    """The heading first, then the table; after the end nothing is drawn any more."""
    console = rich.console.Console(file=io.StringIO(), width=80, height=10, force_terminal=True)
    table = live.LiveTable(console, lambda: [source()], heading=["API  here"], clock=lambda: NOW)
    assert isinstance(console.file, io.StringIO)
    with table:
        table.resized()
        drawn = console.file.getvalue().rpartition("\x1b[2J")[2]
    assert drawn.lstrip("\x1b[H").startswith("API  here\n")
    assert "podinfo" in drawn
    before = console.file.getvalue()
    table.resized()
    assert console.file.getvalue() == before
