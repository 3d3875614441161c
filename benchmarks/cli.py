"""How long commands take, against an empty Python: ``python -m benchmarks.cli``.

Every command is started RUNS times on a warm disk, in turn with ``python -c pass``; the middle of
each is printed with its ratio. The goal is 450 ms for ``get sources oci``, better 250.
"""

import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

RUNS = 15
_READY = 30.0  # seconds for the embedded API to be there
_CODE = "from ocisource.cli.main import main; main()"
_SOURCE = """\
apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata: {name: podinfo, namespace: default}
spec: {url: "oci://127.0.0.1:1/podinfo", interval: 1h}
"""
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("--help",),
    ("version",),
    ("get", "sources", "oci"),
    ("get", "sources", "oci", "-o", "json"),
    ("export", "source", "oci", "--all"),
    ("events", "-A"),
    ("build", "artifact", "-p", "source.yaml"),
)


def measured(words: Sequence[str], environ: dict[str, str], folder: pathlib.Path) -> float:
    """Seconds of one run."""
    started = time.perf_counter()
    subprocess.run(words, env=environ, cwd=folder, capture_output=True, check=True)
    return time.perf_counter() - started


def main() -> None:
    """Start an embedded API, and measure commands against it."""
    with tempfile.TemporaryDirectory() as text:
        folder = pathlib.Path(text)
        environ = {"PATH": os.defpath, "HOME": text, "KUBECONFIG": str(folder / "data/kubeconfig")}
        server = subprocess.Popen(
            [
                *(sys.executable, "-c", _CODE, "apiserver"),
                *("--data-dir", str(folder / "data"), "--api-addr", "127.0.0.1:0"),
            ],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_for(folder / "data" / "kubeconfig", server)
            (folder / "source.yaml").write_text(_SOURCE)
            tool = [sys.executable, "-c", _CODE]
            measured([*tool, "apply", "-f", "source.yaml"], environ, folder)
            _print(tool, environ, folder)
        finally:
            server.terminate()
            server.communicate()


def _print(tool: Sequence[str], environ: dict[str, str], folder: pathlib.Path) -> None:
    print(f"{'command':40} {'ms':>6} {'empty':>6} {'ratio':>6}")
    empty = [sys.executable, "-c", "pass"]
    for words in COMMANDS:
        measured([*tool, *words], environ, folder)  # warm
        pairs = [
            (measured([*tool, *words], environ, folder), measured(empty, environ, folder))
            for _ in range(RUNS)
        ]
        ours, theirs = (statistics.median(each) for each in zip(*pairs, strict=True))
        label = " ".join(words)
        print(f"{label:40} {ours * 1000:6.0f} {theirs * 1000:6.0f} {ours / theirs:6.1f}")


def _wait_for(path: pathlib.Path, server: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + _READY
    assert server.stdout is not None
    # Two lines: where the API is, and where its kubeconfig.
    server.stdout.readline()
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.05)


if __name__ == "__main__":
    main()
