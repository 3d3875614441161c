"""The embedded API beside a real kube-apiserver with etcd, the same load on both in one run.

Writers patch ConfigMaps as fast as they are answered while watchers follow: ten that see
everything, then a hundred of one object each. Meanwhile one reader asks for an object now and then:
its 99th percentile is what a user waits. Watchers run in a process of their own, which counts lines
and decodes nothing. etcd runs with --unsafe-no-fsync, ours with synchronous=FULL.

    python -m benchmarks.apiserver [--seconds 4] [--objects 500] [--rounds 3]

The two take turns, so that what else the machine does falls on both; ratios are medians of rounds.

A real kube-apiserver is found through KUBEBUILDER_ASSETS; without one only ours is measured.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import json
import os
import pathlib
import random
import signal
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

import aiohttp

from ocisource.kube import config
from tests.parts import kubernetes

WRITERS = 16
READ_PAUSE = 0.02  # seconds between two reads
_MERGE = {"Content-Type": "application/merge-patch+json"}
_PATH = "/api/v1/namespaces/default/configmaps"


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """An API server: where it is, how to reach it, which processes it is."""

    name: str
    url: str
    ca: bytes
    token: str
    pids: tuple[int, ...]

    def rss(self) -> int:
        """Resident bytes of all its processes."""
        pages = (pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1] for pid in self.pids)
        return sum(map(int, pages)) * os.sysconf("SC_PAGESIZE")

    def cpu(self) -> float:
        """CPU seconds of all its processes so far."""
        ticks = 0
        for pid in self.pids:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[aiohttp.ClientSession]:
        """A session that trusts it and is its administrator."""
        context = ssl.create_default_context(cadata=self.ca.decode())
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        async with aiohttp.ClientSession(
            self.url,
            connector=aiohttp.TCPConnector(ssl=context, limit=0),
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=aiohttp.ClientTimeout(total=None),
        ) as session:
            yield session


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    """Writes a second, CPU of one in µs, lines seen a second, p99 of a GET in ms, RSS in MB."""

    writes: float
    cpu: float
    seen: float
    p99: float
    rss: float


async def load(
    subject: Subject, *, watchers: int, is_one: bool, seconds: float, objects: int
) -> Measured:
    """Writers, watchers and a reader for some seconds."""
    async with subject.session() as session, watching(subject, watchers, is_one=is_one) as watched:
        end = time.monotonic() + seconds
        before = subject.cpu()
        written = 0
        latencies: list[float] = []

        async def write(number: int) -> None:
            nonlocal written
            rng = random.Random(number)
            while time.monotonic() < end:
                name = f"bench-{rng.randrange(objects)}"
                body = json.dumps({"data": {"value": str(rng.random())}})
                async with session.patch(f"{_PATH}/{name}", data=body, headers=_MERGE) as got:
                    await got.read()
                    got.raise_for_status()
                written += 1

        async def read() -> None:
            while time.monotonic() < end:
                began = time.perf_counter()
                async with session.get(f"{_PATH}/bench-0") as got:
                    await got.read()
                latencies.append(time.perf_counter() - began)
                await asyncio.sleep(READ_PAUSE)

        await asyncio.gather(read(), *(write(number) for number in range(WRITERS)))
        rss, used = subject.rss(), subject.cpu() - before
        seen = await watched()
    latencies.sort()
    p99 = latencies[int(len(latencies) * 0.99) - 1] if latencies else 0.0
    return Measured(
        writes=written / seconds,
        cpu=used / max(written, 1) * 1e6,
        seen=seen / seconds,
        p99=p99 * 1e3,
        rss=rss / 1e6,
    )


@contextlib.asynccontextmanager
async def watching(subject: Subject, count: int, *, is_one: bool) -> AsyncIterator["Watched"]:
    """Run watchers in a process of their own; call what is yielded for the lines they saw."""
    described = json.dumps(
        {**dataclasses.asdict(subject), "ca": subject.ca.decode(), "count": count, "is_one": is_one}
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.apiserver",
        "--watch",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(described.encode() + b"\n")
    await process.stdout.readline()
    watched = Watched(process)
    try:
        yield watched
    finally:
        await watched()


class Watched:
    """The watchers' process; calling ends it and returns the lines that were seen."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._seen: int | None = None

    async def __call__(self) -> int:
        """Lines seen by all watchers together."""
        if self._seen is None:
            self._process.send_signal(signal.SIGTERM)
            out, _ = await self._process.communicate()
            self._seen = int(out or b"0")
        return self._seen


async def _watch() -> None:
    """The watchers' process: read what to do, say when all watch, count until ended."""
    given = json.loads(sys.stdin.readline())
    subject = Subject(
        given["name"], given["url"], given["ca"].encode(), given["token"], tuple(given["pids"])
    )
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    seen = 0
    async with subject.session() as session:

        async def follow(number: int, ready: asyncio.Event) -> None:
            nonlocal seen
            query = "?watch=1&timeoutSeconds=600"
            if given["is_one"]:
                query += f"&fieldSelector=metadata.name%3Dbench-{number}"
            async with session.get(_PATH + query) as got:
                ready.set()
                async for chunk in got.content.iter_any():
                    seen += chunk.count(b"\n")

        ready = [asyncio.Event() for _ in range(given["count"])]
        tasks = [asyncio.create_task(follow(n, each)) for n, each in enumerate(ready)]
        await asyncio.gather(*(each.wait() for each in ready))
        print("ready", flush=True)
        await ended.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    print(seen, flush=True)


async def fill(subject: Subject, objects: int) -> float:
    """Create the objects; creations a second."""
    began = time.monotonic()
    numbers = iter(range(objects))
    async with subject.session() as session:

        async def work() -> None:
            for number in numbers:
                body = {"metadata": {"name": f"bench-{number}"}, "data": {"value": "0" * 200}}
                async with session.post(_PATH, json=body) as got:
                    await got.read()
                    got.raise_for_status()

        await asyncio.gather(*(work() for _ in range(WRITERS)))
    return objects / (time.monotonic() - began)


@contextlib.contextmanager
def embedded(folder: pathlib.Path) -> Iterator[Subject]:
    """Ours, as `ocisource apiserver` runs it."""
    import subprocess  # noqa: PLC0415 - the watchers' process does without it

    argv = [sys.executable, "-m", "ocisource", "apiserver", "--api-addr", "127.0.0.1:0"]
    with subprocess.Popen(
        [*argv, "--data-dir", str(folder)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            process.stdout.readline()
            cluster = config.load(folder / "kubeconfig")
            login = asyncio.run(cluster.login_source.login())
            yield Subject(
                "embedded",
                cluster.server,
                cluster.certificate_authority.read(),
                login.token,
                (process.pid,),
            )
        finally:
            process.terminate()


@contextlib.contextmanager
def real(folder: pathlib.Path) -> Iterator[Subject]:
    """kube-apiserver and etcd."""
    with kubernetes.start(folder) as plane:
        ca = plane.ca_file.read_bytes()
        pids = (plane.apiserver.pid, plane.etcd.pid)
        yield Subject("kube-apiserver", plane.url, ca, kubernetes.ADMIN_TOKEN, pids)


LOADS = (("10 watchers of all", 10, False), ("100 watchers of one each", 100, True))


async def measure(
    subjects: Sequence[Subject], *, seconds: float, objects: int, rounds: int
) -> dict[str, dict[str, list[Measured]]]:
    """Both loads on each subject in turn, some rounds of them: rows by load and subject.

    Rounds alternate between the subjects, so that what else the machine does falls on both.
    """
    found: dict[str, dict[str, list[Measured]]] = {}
    for subject in subjects:
        idle = subject.rss() / 1e6
        before = subject.cpu()
        created = await fill(subject, objects)
        each = (subject.cpu() - before) / objects * 1e6
        row = Measured(writes=created, cpu=each, seen=0.0, p99=0.0, rss=idle)
        found.setdefault("create, no watcher", {})[subject.name] = [row]
    for _ in range(rounds):
        for label, watchers, is_one in LOADS:
            for subject in subjects:
                row = await load(
                    subject, watchers=watchers, is_one=is_one, seconds=seconds, objects=objects
                )
                found.setdefault(label, {}).setdefault(subject.name, []).append(row)
    return found


def middle(rows: Sequence[Measured]) -> Measured:
    """The median of each figure."""
    columns = zip(*map(dataclasses.astuple, rows), strict=True)
    return Measured(*(statistics.median(column) for column in columns))


async def watcher_memory(subject: Subject, *, counts: tuple[int, ...]) -> None:
    """RSS with that many idle watchers."""
    for count in counts:
        async with watching(subject, count, is_one=True):
            print(f"  {count:5} watchers: RSS {subject.rss() / 1e6:7.1f} MB")


def main() -> None:
    """Entry point."""
    if sys.argv[1:2] == ["--watch"]:
        asyncio.run(_watch())
        return
    parser = argparse.ArgumentParser(description="the embedded API beside kube-apiserver")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--objects", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        starts = [embedded, real] if os.environ.get("KUBEBUILDER_ASSETS") else [embedded]
        subjects = [
            stack.enter_context(start(pathlib.Path(folder) / start.__name__)) for start in starts
        ]
        found = asyncio.run(
            measure(
                subjects,
                seconds=chosen.seconds,
                objects=chosen.objects,
                rounds=chosen.rounds,
            )
        )
        asyncio.run(watcher_memory(subjects[0], counts=(10, 100, 1000)))
    show(found)


def show(found: Mapping[str, Mapping[str, Sequence[Measured]]]) -> None:
    """Print the medians, and of each figure the median of the rounds' ratios."""
    titles = ("writes/s", "µs CPU/write", "seen/s", "p99 GET ms", "RSS MB")
    print(f"{'':26}{'server':16}" + "".join(f"{title:>13}" for title in titles))
    for label, by_server in found.items():
        for name, rows in by_server.items():
            figures = dataclasses.astuple(middle(rows))
            print(f"{label:26}{name:16}" + "".join(f"{figure:13.0f}" for figure in figures))
        if len(by_server) > 1:
            ours, theirs = by_server.values()
            ratio = middle([_ratio(one, other) for one, other in zip(ours, theirs, strict=True)])
            figures = dataclasses.astuple(ratio)
            print(f"{'':26}{'ratio':16}" + "".join(f"{figure:13.2f}" for figure in figures))


def _ratio(one: Measured, other: Measured) -> Measured:
    pairs = zip(dataclasses.astuple(one), dataclasses.astuple(other), strict=True)
    return Measured(*(mine / theirs if theirs else 0.0 for mine, theirs in pairs))


if __name__ == "__main__":
    main()
