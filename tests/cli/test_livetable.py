"""The live table of `ocisource up`."""

import io

import pytest
import rich.console

from ocisource.api import conditions, meta, ocirepository
from ocisource.cli.machines import live


@pytest.mark.parametrize("width", [60, 80])
def test_ready_and_status_are_readable_on_a_narrow_terminal(width: int) -> None:
    """A long address wraps rather than push out what went wrong."""
    ready = conditions.Condition(
        type="Ready",
        status="False",
        reason="x",
        message="couldn't find tag",
        last_transition_time="2026-01-01T00:00:00Z",
    )
    obj = ocirepository.OCIRepository(
        metadata=meta.ObjectMeta(name="podinfo", namespace="default"),
        spec=ocirepository.Spec(
            url="oci://registry.example.com/team/very/long/path", interval="5m"
        ),
        status=ocirepository.Status(conditions=(ready,)),
    )
    console = rich.console.Console(file=io.StringIO(), width=width)
    with console.capture() as captured:
        console.print(live.LiveTable(console, lambda: [obj]).render())
    shown = captured.get()
    assert "READY" in shown
    assert "False" in shown
    assert "couldn't find" in shown
    assert all(len(line) <= width for line in shown.splitlines())
