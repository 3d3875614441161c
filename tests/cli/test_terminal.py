"""What people see: the live table, progress bars, colour; and none of it elsewhere."""

import asyncio
import os
import pathlib
import socket
import sys

from ocisource.cli import choice, light
from ocisource.cli import cluster as clusters
from ocisource.cli.machines import up
from ocisource.cli.sources import rows
from tests.cli import terminal
from tests.parts import processes, registry, tmux

TOOL = [sys.executable, "-c", "from ocisource.cli.main import main; main()"]
HEADER = ["NAME", "URL", "READY", "STATUS", "AGE"]
LOOPBACK = [f"--{name}-addr=127.0.0.1:0" for name in ("api", "storage", "metrics", "health")]


def is_drawn_anew(text: str) -> bool:
    """Whether the terminal, which wraps what stands there, has nothing of it left."""
    is_whole = HEADER in [line.split() for line in text.splitlines()]
    return is_whole and (text.count("NAME "), text.count("podinfo ")) == (1, 1)


def test_the_live_table(tmp_path: pathlib.Path) -> None:
    """`up --demo` shows the example becoming Ready, and ends well when it is interrupted."""
    words = [*TOOL, "up", "--demo", "--data-dir", str(tmp_path / "data"), *LOOPBACK]
    with tmux.start(tmp_path, words) as screen:
        text = screen.wait_for("stored artifact for digest")
        header = next(line for line in text.splitlines() if line.startswith("NAME"))
        assert header.split() == HEADER
        row = next(line for line in text.splitlines() if line.startswith("podinfo "))
        assert "True" in row.split()
        screen.resize(70, 30)
        processes.poll(lambda: is_drawn_anew(screen.text()), what="the table, drawn anew")
        screen.press("C-c")
        text = screen.wait_for("exit code")
        assert "exit code 0" in text
        assert "Traceback" not in text


def test_the_progress_bar(shared_registry: registry.Registry, tmp_path: pathlib.Path) -> None:
    """Push and pull show bytes, rate and a bar on a terminal."""
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "in" / "blob").write_bytes(os.urandom(24 << 20))
    url = f"oci://{shared_registry.host}/terminal/{tmp_path.name.lower()}:v1"
    push = ["push", "artifact", url, "-f", str(tmp_path / "in"), "--source=s", "--revision=r"]
    with tmux.start(tmp_path, [*TOOL, *push]) as screen:
        text = screen.wait_for("exit code")
        (bar,) = [line for line in text.splitlines() if line.startswith("pushing ")]
        assert "24.0/24.0 MiB" in bar
        assert "B/s" in bar
        assert "✔ artifact successfully pushed to" in text
        assert "exit code 0" in text
    pull = ["pull", "artifact", url, "-o", str(tmp_path / "out")]
    with tmux.start(tmp_path, [*TOOL, *pull]) as screen:
        text = screen.wait_for("exit code")
        assert any(line.startswith("pulling ") and "B/s" in line for line in text.splitlines())


def test_colour_on_a_terminal_only(cluster: terminal.Shell, tmp_path: pathlib.Path) -> None:
    """READY is green or red; NO_COLOR and a pipe have none."""
    cluster.put("app", status=terminal.ready())
    words = [*TOOL, "-n", cluster.namespace, "get", "sources", "oci"]
    environ = {"KUBECONFIG": str(cluster.kubeconfig)}
    with tmux.start(tmp_path, words, **environ) as screen:
        screen.wait_for("exit code 0")
        assert "\x1b[32mTrue" in screen.text(has_colours=True)
    with tmux.start(tmp_path, words, NO_COLOR="1", **environ) as screen:
        screen.wait_for("exit code 0")
        assert "\x1b[32m" not in screen.text(has_colours=True)
    assert "\x1b" not in cluster.here("get", "sources", "oci").out


def test_the_light_way_answers_as_the_full_client(cluster: terminal.Shell) -> None:
    """The same rows without aiohttp; what it cannot do it leaves alone."""
    cluster.put("app", status=terminal.ready(), labels={"a": "b"})
    chosen = choice.Chosen(namespace=cluster.namespace)
    place = clusters.locate(chosen)
    found = light.sources(place, chosen, rows.Query(label_selector="a=b"), {})
    assert found is not None
    assert [obj.metadata.name for obj in found] == ["app"]
    assert light.sources(place, chosen, rows.Query(name="nix"), {}) == ()
    assert light.sources(place, chosen, rows.Query(), {"HTTPS_PROXY": "http://x"}) is None
    wrong = choice.Chosen(namespace=cluster.namespace, token="wrong")
    assert light.sources(clusters.locate(wrong), wrong, rows.Query(), {}) is None
    answers = []
    for name in ("localhost", "kubernetes.default"):  # one of them is in either's certificate
        named = choice.Chosen(namespace=cluster.namespace, tls_server_name=name)
        answers.append(light.sources(clusters.locate(named), named, rows.Query(), {}))
    assert any(answers)
    other = choice.Chosen(namespace=cluster.namespace, tls_server_name="example.com")
    assert light.sources(clusters.locate(other), other, rows.Query(), {}) is None


def test_a_silent_server_is_not_waited_for(shell: terminal.Shell) -> None:
    """--timeout holds for every way of asking; the text says so."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"https://127.0.0.1:{server.getsockname()[1]}"
        for words in (["get", "sources", "oci"], ["export", "source", "oci", "a"]):
            result = shell(*words, "--server", address, "--timeout", "200ms")
            text = "✗ timed out after 200ms; --timeout allows more\n"
            assert (result.code, result.err) == (1, text)


def test_a_second_interrupt_leaves_at_once() -> None:
    """The first one asks for a good end; whoever asks again does not want to wait."""
    interrupted, left = asyncio.Event(), []
    interrupt = up.interrupter(interrupted, at_once=lambda: left.append("now"))
    interrupt()
    assert interrupted.is_set()
    assert not left
    interrupt()
    assert left == ["now"]
