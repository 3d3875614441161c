"""Log files."""

import asyncio
import contextlib
import io
import json
import logging
import logging.handlers
import pathlib
import re
import typing
from collections.abc import Iterator

import pytest

from ocisource import logs


async def test_a_line_has_the_fields_of_logger_task_and_call() -> None:
    """As JSON under Flux's keys; what a task says of itself ends with the task."""
    stream = io.StringIO()

    async def run() -> None:
        logs.during(name="podinfo", reconcileID=Lazy())
        logs.get("ocirepository", controllerKind="OCIRepository").error("it broke", error="full")

    with _set_up(stream):
        await asyncio.create_task(run())
        logs.get("replica").info("starting manager")
        logs.get("replica").debug("not shown")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.pop("ts"))
    assert first == {
        "level": "error",
        "msg": "it broke",
        "logger": "ocirepository",
        "controllerKind": "OCIRepository",
        "name": "podinfo",
        "reconcileID": "made late",
        "error": "full",
    }
    assert (second["level"], second["msg"]) == ("info", "starting manager")
    assert "name" not in second


def test_a_line_for_people_shows_controls_as_text() -> None:
    """It stays one line, and the terminal obeys nothing in it."""
    stream = io.StringIO()
    with _set_up(stream, encoding="console"):
        logs.get("test").error("no tag \x1b[2J", error="a\nb\x9b")
    assert stream.getvalue().endswith(r" error no tag \u001b[2J: a\u000ab\u009b" + "\n")


class Lazy:
    """A value that makes its text when a line is written."""

    def __str__(self) -> str:
        return "made late"


@contextlib.contextmanager
def _set_up(
    stream: typing.TextIO | None, folder: pathlib.Path | None = None, *, encoding: str = "json"
) -> Iterator[None]:
    try:
        logs.setup(level="info", encoding=encoding, stream=stream, folder=folder)
        yield
    finally:
        root = logging.getLogger("ocisource")
        for handler in list(root.handlers):
            root.removeHandler(handler)
            handler.close()
        root.propagate = True
        root.setLevel(logging.NOTSET)


def test_a_log_without_room_is_told_once_and_stops_nobody(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, no traceback; what is logged later is written if it can be."""
    (tmp_path / "ocisource.log").symlink_to("/dev/full")
    with _set_up(None, tmp_path):
        for _ in range(3):
            logs.get("test").error("it broke")
    told = capsys.readouterr().err
    assert told == f"✗ {tmp_path}/ocisource.log: No space left on device: log lines are lost\n"


def test_a_log_whose_reader_is_gone_stops_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    """There is nowhere to say so."""
    with pathlib.Path("/dev/full").open("w") as stream, _set_up(stream):
        logs.get("test").error("it broke")
        with contextlib.suppress(OSError):
            stream.close()
    assert capsys.readouterr().err == ""


def test_log_files_are_private_also_after_rotation(tmp_path: pathlib.Path) -> None:
    """Nobody but their owner reads them, whatever the umask."""
    with _set_up(None, tmp_path / "logs"):
        logs.get("test").info("first")
        for handler in logging.getLogger("ocisource").handlers:
            if isinstance(handler, logging.handlers.RotatingFileHandler):
                handler.doRollover()
        logs.get("test").info("second")
        files = sorted((tmp_path / "logs").iterdir())
        assert [file.name for file in files] == ["ocisource.log", "ocisource.log.1"]
        assert [file.stat().st_mode & 0o777 for file in files] == [0o600, 0o600]
        assert ["second" in files[0].read_text(), "first" in files[1].read_text()] == [True, True]
