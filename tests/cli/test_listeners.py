"""Listeners of the long-running commands whose address is taken: by a flag, and by default."""

import pathlib
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence

import pytest

from tests.cli import terminal
from tests.parts import commands, ports

TOOL = "from ocisource.cli.main import main; main()"
NAMES = ("api", "storage", "metrics", "health")


@pytest.fixture
def taken() -> Iterator[str]:
    """An address that somebody listens on."""
    with socket.create_server((ports.LOOPBACK, 0)) as listener:
        yield f"{ports.LOOPBACK}:{listener.getsockname()[1]}"


def run(home: pathlib.Path, words: Sequence[str], script: str = TOOL) -> commands.Completed:
    """A command line in a process of its own."""
    return commands.run(
        [sys.executable, "-c", script, *words],
        environ=terminal.plain_environ(home),
        is_checked=False,
    )


def addresses(taken: str, name: str, among: Sequence[str]) -> list[str]:
    """Flags of listeners, all of them on free ports but the one that is taken."""
    free = f"{ports.LOOPBACK}:0"
    return [f"--{each}-addr={taken if each == name else free}" for each in among]


def refusal(taken: str, name: str) -> str:
    """The one line."""
    return (
        f"✗ cannot listen on {taken} (--{name}-addr): address already in use; choose another port, "
        "or 0 for a free one\n"
    )


@pytest.mark.parametrize("name", NAMES)
def test_up_refuses_a_flag_whose_address_is_taken(
    name: str, taken: str, tmp_path: pathlib.Path
) -> None:
    """The same line and exit code for each of its listeners."""
    words = ["up", "--once", "--data-dir", str(tmp_path / "data")]
    done = run(tmp_path, [*words, *addresses(taken, name, NAMES)])
    assert (done.code, done.stdout, done.stderr) == (2, "", refusal(taken, name))


def test_the_api_alone_refuses_a_flag_whose_address_is_taken(
    taken: str, tmp_path: pathlib.Path
) -> None:
    """As `up` does."""
    words = ["apiserver", "--data-dir", str(tmp_path / "data"), f"--api-addr={taken}"]
    done = run(tmp_path, words)
    assert (done.code, done.stdout, done.stderr) == (2, "", refusal(taken, "api"))


@pytest.mark.parametrize("name", NAMES[1:])
def test_a_controller_refuses_an_address_that_is_taken(
    name: str, taken: str, embedded_api: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """The last line is for people; those before are its log."""
    store = tmp_path / "store"
    store.mkdir()
    words = ["controller", f"--kubeconfig={embedded_api}", f"--storage-path={store}"]
    done = run(tmp_path, [*words, *addresses(taken, name, NAMES[1:])])
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.splitlines(keepends=True)[-1] == refusal(taken, name)
    assert "Traceback" not in done.stderr


def test_a_default_address_that_is_taken_gives_way_and_says_so(
    taken: str, tmp_path: pathlib.Path
) -> None:
    """Another port, a warning that names both, and a kubeconfig that leads there."""
    data = tmp_path / "data"
    script = f"from ocisource.cli.machines import places; places.API_ADDRESS = '{taken}'; {TOOL}"
    words = ["up", "--once", "--data-dir", str(data), *addresses("", "", NAMES[1:])]
    done = run(tmp_path, words, script)
    assert done.code == 0
    url = done.stdout.splitlines()[0].removeprefix("API").strip()
    assert not url.endswith(taken)
    assert done.stderr == (
        f"⚠️  {taken} is in use by another program: API at {url} this time; --api-addr chooses the "
        "address\n"
    )
    assert f"server: {url}\n" in (data / "kubeconfig").read_text()


def test_the_api_alone_says_where_it_gave_way_to(taken: str, tmp_path: pathlib.Path) -> None:
    """As `up` does, before its addresses."""
    script = f"from ocisource.cli.machines import places; places.API_ADDRESS = '{taken}'; {TOOL}"
    with subprocess.Popen(
        [sys.executable, "-c", script, "apiserver", "--data-dir", str(tmp_path / "data")],
        env=terminal.plain_environ(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().removeprefix("API").strip()
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, told = process.communicate()
    assert process.returncode == 0
    assert told == (
        f"⚠️  {taken} is in use by another program: API at {url} this time; --api-addr chooses the "
        "address\n"
    )
