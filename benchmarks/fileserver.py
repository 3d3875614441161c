"""The artifact server against nginx, and against aiohttp's own FileResponse.

All serve the same files of the same store, each with one process. Small files (20 kB) are measured
by the server's processor time for a request, large ones (100 MB) by throughput and by processor
time for a gigabyte. Rounds are interleaved and each subject's best round counts, since whatever
else the machine does only adds. Load comes from wrk where it is installed, else from a loader of
our own, which is slower and so tells less about throughput.

Run ``python -m benchmarks.fileserver``; ``--quick`` does one short round.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import http.client
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from aiohttp import web

from ocisource.storage import fileserver, store
from ocisource.wire import durations

_SMALL = 20_000  # bytes
_LARGE = 100_000_000  # bytes
_FOLDER = "ocirepository/apps/bench"
_CONNECTIONS = {_SMALL: 16, _LARGE: 2}
_ROUNDS = 3
_SECONDS = 3  # of one round; wrk takes whole ones
_GOALS = {"small": 12.0, "large": 0.8}

_LOOPBACK = "127.0.0.1"
_SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"  # daemons live there, off a user's PATH
_NGINX = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr error;
{user}
events {{ worker_connections 512; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
  default_type application/gzip;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{ listen {loopback}:{port}; root {root}; }}
}}
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """A running server: the process whose time is measured, and where it listens."""

    title: str
    pid: int
    port: int

    def processor_time(self) -> float:
        """Seconds of processor time used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass(frozen=True, slots=True)
class Load:
    """What was answered in ``seconds``."""

    requests: int
    size: int
    seconds: float


@dataclasses.dataclass(slots=True)
class Figures:
    """A subject's best rounds."""

    small_us: float = float("inf")  # processor time for a request
    large_rate: float = 0.0  # bytes per second
    large_cost: float = float("inf")  # seconds of processor time for a gigabyte

    def take_small(self, load: Load, used: float) -> None:
        """Count a round with small files."""
        self.small_us = min(self.small_us, used / load.requests * 1e6)

    def take_large(self, load: Load, used: float) -> None:
        """Count a round with large files."""
        self.large_rate = max(self.large_rate, load.size / load.seconds)
        self.large_cost = min(self.large_cost, used / load.size * 1e9)


def _wrk(program: str, url: str, size: int, seconds: int) -> Load:
    count = _CONNECTIONS[size]
    command = [program, "-t1", f"-c{count}", f"-d{seconds}s", "--timeout", "30s", url]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    match = re.search(r"(\d+) requests in ([\d.]+\w+), ([\d.]+)(\w*)B read", output)
    if match is None or "Non-2xx" in output:
        raise SystemExit(f"wrk measured nothing:\n{output}")
    # wrk counts in powers of 1024.
    read = float(match[3]) * 1024 ** ("KMGT".find(match[4]) + 1 if match[4] else 0)
    return Load(int(match[1]), int(read), durations.parse(match[2]))


def _own_load(url: str, size: int, seconds: int) -> Load:
    """As many requests as a few threads can make, until the time is over."""
    host, _, path = url.removeprefix("http://").partition("/")
    totals: list[tuple[int, int]] = []
    began = time.monotonic()

    def work() -> None:
        connection = http.client.HTTPConnection(host, timeout=30)
        buffer = bytearray(1 << 20)
        requests = received = 0
        while time.monotonic() - began < seconds:
            connection.request("GET", f"/{path}")
            answer = connection.getresponse()
            while count := answer.readinto(buffer):
                received += count
            requests += 1
        connection.close()
        totals.append((requests, received))

    threads = [threading.Thread(target=work) for _ in range(_CONNECTIONS[size])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.monotonic() - began
    return Load(sum(n for n, _ in totals), sum(n for _, n in totals), elapsed)


def _loader() -> tuple[str, Callable[[str, int, int], Load]]:
    program = shutil.which("wrk")
    if program is None:
        return "our own loader", _own_load
    return "wrk", lambda url, size, seconds: _wrk(program, url, size, seconds)


def _put_files(root: Path) -> None:
    rng = random.Random(1)
    local = store.LocalStore(root)
    for size in (_SMALL, _LARGE):
        with local.stage() as stage:
            for start in range(0, size, 1 << 20):
                stage.write(rng.randbytes(min(1 << 20, size - start)))
            local.publish(stage.finish(), path=_path(size))
    local.close()


def _path(size: int) -> str:
    return f"{_FOLDER}/{size:064x}.tar.gz"


async def _serve_ours(root: Path) -> None:
    local = store.LocalStore(root)
    server = fileserver.FileServer(local)
    _, port = await server.start(_LOOPBACK, 0)
    await _until_told(port)
    await server.stop()
    local.close()


async def _serve_aiohttp(root: Path) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.FileResponse(root / request.match_info["path"])

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, _LOOPBACK, 0)
    await site.start()
    await _until_told(runner.addresses[0][1])
    await runner.cleanup()


async def _until_told(port: int) -> None:
    """Tell the parent the port, and end when it closes our input."""
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.read)


_CHILDREN = {"ocisource": _serve_ours, "aiohttp FileResponse": _serve_aiohttp}


@contextlib.contextmanager
def _child(title: str, root: Path) -> Iterator[Subject]:
    command = [sys.executable, "-m", "benchmarks.fileserver", "--serve", title, str(root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield Subject(title, process.pid, int(process.stdout.readline()))
        finally:
            process.stdin.close()
            process.wait(30)


@contextlib.contextmanager
def _nginx(folder: Path, root: Path) -> Iterator[Subject]:
    search = os.pathsep.join([os.environ.get("PATH", os.defpath), _SYSTEM_FOLDERS])
    program = shutil.which("nginx", path=search)
    if program is None:
        raise SystemExit("nginx is not installed: apt-get install nginx-light")
    with socket.socket() as free:
        free.bind((_LOOPBACK, 0))
        port = free.getsockname()[1]
    config = folder / "nginx.conf"
    # A master that runs as root would give its workers to nobody, who cannot read the store.
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(
        _NGINX.format(folder=folder, user=user, loopback=_LOOPBACK, port=port, root=root)
    )
    process = subprocess.Popen([program, "-e", "stderr", "-p", str(folder), "-c", str(config)])
    try:
        yield Subject("nginx", _worker(process), port)
    finally:
        process.terminate()
        process.wait(30)


def _worker(master: subprocess.Popen[bytes]) -> int:
    """The process that serves."""
    children = Path(f"/proc/{master.pid}/task/{master.pid}/children")
    for _ in range(200):
        if master.poll() is not None:
            raise SystemExit(f"nginx ended with {master.returncode}")
        if pids := children.read_text().split():
            return int(pids[0])
        time.sleep(0.05)
    raise SystemExit("nginx started no worker")


def measure(*, is_quick: bool = False) -> tuple[str, dict[str, Figures]]:
    """The loader's name, and the figures of each subject."""
    loader, load = _loader()
    rounds, seconds = (1, 1) if is_quick else (_ROUNDS, _SECONDS)
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as running:
        folder, root = Path(name), Path(name) / "store"
        root.mkdir()
        _put_files(root)
        subjects = [running.enter_context(_nginx(folder, root))]
        subjects += [running.enter_context(_child(title, root)) for title in _CHILDREN]
        figures = {subject.title: Figures() for subject in subjects}
        for size, _ in [(size, n) for n in range(rounds) for size in (_SMALL, _LARGE)]:
            for subject in subjects:
                url = f"http://{_LOOPBACK}:{subject.port}/{_path(size)}"
                load(url, size, 1)  # connections, caches, code paths
                before = subject.processor_time()
                result = load(url, size, seconds)
                used = subject.processor_time() - before
                take = figures[subject.title]
                (take.take_small if size == _SMALL else take.take_large)(result, used)
    return loader, figures


HEADINGS = (
    "server",
    "20 kB: CPU µs/request",
    "to nginx",
    "100 MB: MB/s",
    "to nginx",
    "100 MB: CPU s/GB",
    "to nginx",
)


def table(loader: str, figures: dict[str, Figures]) -> str:
    """The figures as a Markdown table, each with its ratio to nginx's."""
    base, ours = figures["nginx"], figures["ocisource"]
    rows = [HEADINGS, ("---",) + ("--:",) * (len(HEADINGS) - 1)]
    rows += [_cells(title, each, base) for title, each in figures.items()]
    small = ours.small_us / base.small_us <= _GOALS["small"]
    large = ours.large_rate / base.large_rate >= _GOALS["large"]
    goals = (
        f"Goals: 20 kB at no more than {_GOALS['small']:g} times nginx's CPU ({_verdict(small)}), "
        f"100 MB at no less than {_GOALS['large']:g} times its throughput ({_verdict(large)})."
    )
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([f"Load by {loader}.", "", *lines, "", goals])


def _cells(title: str, each: Figures, base: Figures) -> tuple[str, ...]:
    return (
        title,
        f"{each.small_us:.1f}",
        f"{each.small_us / base.small_us:.2f}",
        f"{each.large_rate / 1e6:.0f}",
        f"{each.large_rate / base.large_rate:.2f}",
        f"{each.large_cost:.3f}",
        f"{each.large_cost / base.large_cost:.2f}",
    )


def _verdict(is_reached: bool) -> str:  # noqa: FBT001
    return "reached" if is_reached else "MISSED"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--serve", nargs=2, metavar=("SUBJECT", "ROOT"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        title, root = options.serve
        asyncio.run(_CHILDREN[title](Path(root)))
        return
    print(table(*measure(is_quick=options.quick)))


if __name__ == "__main__":
    main()
