"""Command lines whose standard streams are closed, full, or of a small character set."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from ocisource import errors
from ocisource.artifact import remote
from ocisource.cli.machines import places
from tests.cli import terminal
from tests.parts import commands

TOOL = [sys.executable, "-c", "from ocisource.cli.main import main; main()"]


def run(
    redirection: str, *words: str, home: pathlib.Path, **environ: str
) -> subprocess.CompletedProcess[str]:
    """A command line in a shell that redirects its streams."""
    return subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *TOOL, *words],
        env=terminal.plain_environ(home, **environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_closed_streams_are_no_failure_and_hold_no_other_file(
    cluster: terminal.Shell, tmp_path: pathlib.Path
) -> None:
    """`>&-`, `2>&-` and `<&-`: the exit code is the command's own, and nothing is printed."""
    cluster.put("app", status=terminal.ready())
    where = {"home": tmp_path, "KUBECONFIG": str(cluster.kubeconfig)}
    words = ("-n", cluster.namespace, "get", "sources", "oci")
    found = run(">&-", *words, **where)  # type: ignore[arg-type]
    assert (found.returncode, found.stderr) == (0, "")
    missing = run("<&- >&- 2>&-", *words, "nix", **where)  # type: ignore[arg-type]
    assert (missing.returncode, missing.stdout, missing.stderr) == (1, "", "")
    delete = ("-n", cluster.namespace, "delete", "source", "oci", "app")
    unasked = run("<&-", *delete, **where)  # type: ignore[arg-type]
    assert (unasked.returncode, unasked.stderr.splitlines()[-1]) == (1, "✗ aborting")


def test_nothing_to_read_is_told(tmp_path: pathlib.Path) -> None:
    """A manifest from a standard input that is closed."""
    result = run("<&-", "apply", "-f", "-", home=tmp_path)
    assert (result.returncode, result.stderr) == (2, "✗ -: no object in it\n")


@pytest.mark.parametrize("words", [("--help",), ("get",), ("version",), ("completion", "bash")])
def test_a_full_disk_is_one_line(tmp_path: pathlib.Path, words: tuple[str, ...]) -> None:
    """What was asked for is not there, so the command has failed."""
    result = run(">/dev/full", *words, home=tmp_path)
    assert (result.returncode, result.stderr) == (1, "✗ No space left on device\n")


def test_the_work_is_done_where_nobody_reads_of_it(
    cluster: terminal.Shell, tmp_path: pathlib.Path
) -> None:
    """Standard error that is full, or a pipe whose reader is gone, does not stop it half way."""
    cluster.put("a")
    cluster.put("b")
    words = ("-n", cluster.namespace, "suspend", "source", "oci", "a", "b")
    done = run("2>/dev/full", *words, home=tmp_path, KUBECONFIG=str(cluster.kubeconfig))
    assert done.returncode == 0
    assert [cluster.get(name)["spec"]["suspend"] for name in ("a", "b")] == [True, True]


def test_the_exit_code_survives_a_full_standard_error(tmp_path: pathlib.Path) -> None:
    """Nobody can be told, but the script that asked still knows."""
    assert run("2>/dev/full", "gt", home=tmp_path).returncode == 2


@pytest.mark.parametrize("name", ["latin-1", "ascii", "utf-8"])
def test_every_character_set_will_do(tmp_path: pathlib.Path, name: str) -> None:
    """Symbols that it lacks are question marks; no command fails for it."""
    environ = {"PYTHONIOENCODING": name, "LC_ALL": "C", "PYTHONUTF8": "0"}
    for words in (["tag", "artifact", "--help"], ["trace", "--help"], ["events", "--help"]):
        shown = run("", *words, home=tmp_path, **environ)
        assert (shown.returncode, shown.stderr) == (0, "")
    wrong = run("", "gt", home=tmp_path, **environ)
    assert wrong.returncode == 2
    assert wrong.stderr[1:].startswith(" unknown command 'gt'")


def test_data_survives_a_small_character_set(
    cluster: terminal.Shell, tmp_path: pathlib.Path
) -> None:
    """JSON and YAML escape what the character set lacks."""
    cluster.put("app", status=terminal.ready("gespeichert ✔ für Łukasz"))
    environ = terminal.plain_environ(
        tmp_path, KUBECONFIG=str(cluster.kubeconfig), PYTHONIOENCODING="latin-1"
    )
    words = [*TOOL, "-n", cluster.namespace, "get", "sources", "oci", "app", "-o"]
    done = commands.run([*words, "json"], environ=environ)
    message = json.loads(done.stdout)["status"]["conditions"][0]["message"]
    assert message == "gespeichert ✔ für Łukasz"
    assert "\\u2714" in commands.run([*words, "yaml"], environ=environ).stdout


def test_unforeseen_errors_are_one_line_without_their_text(
    shell: terminal.Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kind and the place are told; the text might hold a credential."""

    def broken(*_: object, **__: object) -> None:
        raise KeyError("hunter2")

    monkeypatch.setattr("ocisource.cli.output.write", broken)
    result = shell("version")
    assert result.code == 1
    assert result.err.startswith("✗ this should not happen: KeyError in cli/version.py:")
    assert "please report it" in result.err
    assert "hunter2" not in result.err
    assert result.err.count("\n") == 1


def test_nobody_has_a_home(
    shell: terminal.Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    """A user without a home, as in a container: what needs one says what to set."""
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("KUBECONFIG", raising=False)

    def unknown(_: str) -> str:
        return _

    monkeypatch.setattr(os.path, "expanduser", unknown)
    with pytest.raises(errors.UsageError, match="set HOME or XDG_STATE_HOME"):
        places.default_data_dir()
    result = shell("get", "sources", "oci")
    assert result.code == 2
    assert result.err.startswith("✗ no Kubernetes configuration found")
    assert remote.access(environ={}).keychain is not None
    assert shell("build", "artifact", "-p", str(tmp_path)).code == 0
