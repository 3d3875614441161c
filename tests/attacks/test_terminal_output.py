"""Words of strangers on a terminal: escapes, overwritten lines and turned text are shown as text.

Tags and annotations come from a registry, messages from whoever may write a status or an event.
"""

import sys

import pytest
import rich.console

from ocisource import errors
from ocisource.artifact import comparing
from ocisource.cli import failures, output
from ocisource.cli.artifacts import diff
from ocisource.cli.machines import live
from tests.cli import test_livetable as tables

HOSTILE = "\x1b]0;title\x07\x1b[2J\x9b1A\rReady\u202e"
SHOWN = r"\u001b]0;title\u0007\u001b[2J\u009b1A\u000dReady\u202e"


def test_a_table_shows_controls_as_text() -> None:
    """A TAB would make a column, a return would overwrite the row; line breaks make lines."""
    text = output.table(("NAME", "MESSAGE"), [("a", HOSTILE), ("b", "one\ttwo\nthree")])
    lines = text.splitlines()
    assert lines[1] == f"a   \t{SHOWN}\t"
    assert [line.split("\t")[1].rstrip() for line in lines[2:]] == [r"one\u0009two", "three"]


def test_progress_errors_and_lines_show_controls_as_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is one line stays one."""
    output.say(output.SUCCESS, HOSTILE)
    failures.told(errors.OcisourceError("\x1b[2J\nit broke"))
    output.line(f"podinfo {HOSTILE}\n✔ forged")
    captured = capsys.readouterr()
    assert captured.err == f"✔ {SHOWN}\n" + r"✗ \u001b[2J it broke" + "\n"
    assert captured.out == f"podinfo {SHOWN} ✔ forged\n"


def test_the_live_table_shows_controls_as_text() -> None:
    """The terminal gets no sequence but the table's own."""
    objects = [tables.source(message=HOSTILE, url=f"oci://{HOSTILE}")]
    console = rich.console.Console(width=300, force_terminal=False)
    with console.capture() as captured:
        console.print(live.LiveTable(console, lambda: objects).render())
    assert captured.get().count(SHOWN) == 2


def test_a_difference_shows_controls_as_text_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Names and contents are the registry's; what goes to `patch` is left as it is."""
    theirs = comparing.Content("sha256:a", {HOSTILE: _file(f"\tone {HOSTILE}\n")})
    ours = comparing.Content("sha256:b", {})
    assert diff._as_text((theirs, ours), has_text=False) == f"- {SHOWN}\n"
    assert HOSTILE in diff._as_text((theirs, ours), has_text=True)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert f"-\tone {SHOWN}\n" in diff._as_text((theirs, ours), has_text=True)


@pytest.mark.parametrize(
    ("form", "document"), [("json", '[\n  "\\udcff.yaml"\n]\n'), ("yaml", "- \\udcff.yaml\n")]
)
def test_a_name_that_is_no_text_is_written_out_in_documents(
    form: str, document: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tar may hold any bytes as a name; JSON and YAML may not."""
    output.data([b"\xff.yaml".decode(errors="surrogateescape")], output=form)
    assert capsys.readouterr().out == document


def test_a_form_feed_ends_no_line() -> None:
    """Nor does any other character that only some call a line's end."""
    text = comparing.unified("f", _file("a\x0cb\u2028c\n"), _file("a\x0cB\u2028c\n"))
    assert text.endswith("-a\x0cb\u2028c\n+a\x0cB\u2028c\n")


def _file(text: str) -> comparing.Entry:
    return comparing.Entry("file", 0o600, len(text), text, text.encode())
