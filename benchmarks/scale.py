"""10 000 OCIRepositories on one machine: cold start, cost of a no-change run, memory.

Three processes: nginx as the registry, ``ocisource apiserver``, ``ocisource controller``. CPU and
memory are read from the kernel's accounting of each process, the number of runs from the
controller's own metrics. The unit of cost is a bare aiohttp HEAD on a pooled connection to the same
nginx: flat out, measured anew in each interval because machines are rarely quiet, and, once, at the
pace at which the controller has to ask. At that pace each wake-up of the process costs more than
its work, for a bare HEAD as for the controller.

    python -m benchmarks.scale [--objects 10000] [--intervals 10]
"""

import argparse
import asyncio
import contextlib
import dataclasses
import gzip
import io
import json
import os
import pathlib
import re
import statistics
import sys
import tarfile
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator

import aiohttp

from ocisource import digest as digests
from ocisource import serve
from ocisource.api import conditions, ocirepository
from ocisource.kube import client, config, exchange
from tests.parts import nginx, ports, processes

CONCURRENCY = 64
INTERVAL = 20  # seconds; short, so that ten of them fit a benchmark
_TICK = os.sysconf("SC_CLK_TCK")
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_LAYER = "application/vnd.cncf.flux.content.v1.tar+gzip"
_WAIT_SECONDS = 900
_PACED_SECONDS = 8.0
_HEADS = 2000  # bare ones in an interval, and as many to warm up
_LAST_LINES = 5  # of the log of a process that ended
_UNLIMITED = 1_000_000  # requests a second to the Kubernetes API


@dataclasses.dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds and resident bytes of a process."""

    cpu: float
    rss: int

    @classmethod
    def of(cls, pid: int) -> "Usage":
        """As the kernel counts it now."""
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
        return cls((int(fields[11]) + int(fields[12])) / _TICK, pages * os.sysconf("SC_PAGESIZE"))


def _layer() -> bytes:
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for number in range(20):
            content = b"apiVersion: v1\nkind: ConfigMap\n" * 30
            entry = tarfile.TarInfo(f"kustomize/{number}.yaml")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def registry_config(folder: pathlib.Path) -> str:
    """Nginx's http section for a registry that has every repository, all with one content."""
    layer, empty = _layer(), b"{}"
    body = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _descriptor(empty, "application/vnd.cncf.flux.config.v1+json"),
            "layers": [_descriptor(layer, _LAYER)],
        }
    ).encode()
    (folder / "manifest").write_bytes(body)
    (folder / "layer").write_bytes(layer)
    digest = digests.Digest.of(body)
    return f"""
    access_log off;
    keepalive_requests 1000000;
    keepalive_timeout 600s;
    server {{
      listen 127.0.0.1:@PORT@;
      location ~ /manifests/ {{
        add_header Docker-Content-Digest {digest};
        default_type {_MANIFEST};
        alias {folder / "manifest"};
      }}
      location ~ /blobs/ {{ default_type application/octet-stream; alias {folder / "layer"}; }}
    }}
    """


def _descriptor(content: bytes, media_type: str) -> dict[str, object]:
    digest = digests.Digest.of(content)
    return {"mediaType": media_type, "size": len(content), "digest": str(digest)}


async def bare_heads(host: str, count: int) -> float:
    """CPU seconds of this process for one bare pooled HEAD."""
    connector = aiohttp.TCPConnector(limit=CONCURRENCY)
    async with aiohttp.ClientSession(connector=connector) as session:
        numbers = iter(range(count))

        async def work() -> None:
            for number in numbers:
                async with session.head(f"http://{host}/v2/app-{number}/manifests/latest") as got:
                    assert got.status == 200

        await asyncio.gather(*(work() for _ in range(CONCURRENCY)))
        began = time.process_time()
        numbers = iter(range(count))
        await asyncio.gather(*(work() for _ in range(CONCURRENCY)))
        return (time.process_time() - began) / count


async def paced_heads(host: str, rate: float) -> float:
    """CPU seconds of this process for one bare pooled HEAD, ``rate`` of them a second."""
    connector = aiohttp.TCPConnector(limit=CONCURRENCY)
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession(connector=connector) as session:

        async def ask(number: int) -> None:
            async with session.head(f"http://{host}/v2/app-{number}/manifests/latest") as got:
                assert got.status == 200

        await asyncio.gather(*(ask(number) for number in range(CONCURRENCY)))
        began, used = loop.time(), time.process_time()
        count = int(rate * _PACED_SECONDS)
        asked = []
        for number in range(count):
            late = loop.time() - began - number / rate
            if late < 0:
                await asyncio.sleep(-late)
            asked.append(asyncio.create_task(ask(number)))
        await asyncio.gather(*asked)
        return (time.process_time() - used) / count


def document(host: str, number: int) -> dict[str, object]:
    """One of the objects."""
    return {
        "apiVersion": f"{ocirepository.GROUP}/v1",
        "kind": ocirepository.KIND,
        "metadata": {"name": f"app-{number}", "namespace": "default"},
        "spec": {"interval": f"{INTERVAL}s", "url": f"oci://{host}/app-{number}"},
    }


class EndedError(Exception):
    """A process that was to be measured has ended."""


def check(process: processes.Process) -> None:
    """Raise EndedError, with what it said last, if the process runs no more."""
    if not process.is_running:
        status = process.stop()
        said = "\n".join(process.log_text().splitlines()[-_LAST_LINES:])
        raise EndedError(f"{process.log.stem} ended with status {status}; its last lines:\n{said}")


@contextlib.contextmanager
def command(
    name: str, *words: str, folder: pathlib.Path, is_ready: Callable[[], bool]
) -> Iterator[processes.Process]:
    """Run ``ocisource NAME ...`` in a process of its own, with its output in a file."""
    process = processes.start(
        [sys.executable, "-m", "ocisource", name, *words],
        log=folder / f"{name}.log",
        is_ready=is_ready,
    )
    try:
        yield process
    finally:
        process.stop()


async def _interval(controller: processes.Process) -> None:
    """Let one interval pass; raises EndedError as soon as the controller runs no more."""
    end = time.monotonic() + INTERVAL
    while (left := end - time.monotonic()) > 0:
        check(controller)
        await asyncio.sleep(min(left, 1.0))
    check(controller)


def _runs(controller: processes.Process, metrics_port: int) -> float:
    """How many runs the controller has made; raises EndedError if it does not say so."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics") as answer:
            text = answer.read().decode()
    except OSError as error:
        check(controller)
        raise EndedError(f"controller shows no metrics: {error}") from error
    found = re.findall(r"^controller_runtime_reconcile_total\{.*\} (\S+)$", text, re.MULTILINE)
    return sum(map(float, found))


async def _create(api: client.Client, host: str, count: int) -> None:
    resource = await serve.ocirepositories(api)
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            await api.create(resource, document(host, number), namespace="default")

    await asyncio.gather(*(work() for _ in range(16)))


async def _ready(api: client.Client, count: int, *watched: processes.Process) -> int:
    resource = await serve.ocirepositories(api)
    end = time.monotonic() + _WAIT_SECONDS
    while True:
        for process in watched:
            check(process)
        listing = await api.list(resource)
        ready = sum(
            conditions.is_true(obj.status.conditions, conditions.READY) for obj in listing.items
        )
        if ready >= count or time.monotonic() > end:
            return ready
        await asyncio.sleep(1)


async def measure(objects: int, intervals: int) -> None:
    """Print the table; raises EndedError."""
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "store").mkdir()
        (folder / "www").mkdir()
        text = registry_config(folder / "www")
        served = stack.enter_context(nginx.start(folder / "nginx", text))
        host = f"127.0.0.1:{served.ports[0]}"
        head = await bare_heads(host, min(objects, 10_000))
        print(f"bare aiohttp HEAD          {head * 1e6:8.0f} us CPU")
        paced = await paced_heads(host, objects / INTERVAL)
        print(
            f"  at {objects / INTERVAL:.0f} a second          {paced * 1e6:8.0f} us CPU", flush=True
        )
        api_port, storage_port, metrics_port, health_port = ports.free(4)
        kubeconfig = folder / "api" / "kubeconfig"
        server = stack.enter_context(
            command(
                "apiserver",
                *("--data-dir", str(folder / "api"), "--api-addr", f"127.0.0.1:{api_port}"),
                folder=folder,
                is_ready=lambda: kubeconfig.exists() and ports.is_listening(api_port),
            )
        )
        unlimited = exchange.ClientSettings(qps=0)
        async with client.Client(config.load(kubeconfig), settings=unlimited) as api:
            began = time.monotonic()
            await _create(api, host, objects)
            print(f"{objects} objects created in   {time.monotonic() - began:8.1f} s", flush=True)
            idle = Usage.of(server.pid)
            began = time.monotonic()
            controller = stack.enter_context(
                command(
                    "controller",
                    *("--kubeconfig", str(kubeconfig), "--storage-path", str(folder / "store")),
                    *("--storage-addr", f"127.0.0.1:{storage_port}"),
                    *("--metrics-addr", f"127.0.0.1:{metrics_port}"),
                    *("--health-addr", f"127.0.0.1:{health_port}"),
                    *("--kube-api-qps", str(_UNLIMITED), "--kube-api-burst", str(_UNLIMITED)),
                    folder=folder,
                    is_ready=lambda: ports.is_listening(metrics_port),
                )
            )
            ready = await _ready(api, objects, controller, server)
            cold, api_cold = Usage.of(controller.pid), Usage.of(server.pid)
            print(f"cold start to {ready} Ready  {time.monotonic() - began:8.1f} s")
            print(f"  CPU per first fetch      {cold.cpu / objects * 1e6:8.0f} us")
            api_cpu = (api_cold.cpu - idle.cpu) / objects
            print(f"  and of the embedded API  {api_cpu * 1e6:8.0f} us")
            print(f"  RSS                      {cold.rss / 1e6:8.1f} MB", flush=True)
        await _intervals(controller, metrics_port, intervals, host=host, paced=paced)


async def _intervals(
    controller: processes.Process,
    metrics_port: int,
    intervals: int,
    *,
    host: str,
    paced: float,
) -> None:
    await _interval(controller)  # the runs that the cold start has queued
    first = before = Usage.of(controller.pid)
    runs = _runs(controller, metrics_port)
    ratios = []
    for number in range(1, intervals + 1):
        head, _ = await asyncio.gather(bare_heads(host, _HEADS), _interval(controller))
        now, made = Usage.of(controller.pid), _runs(controller, metrics_port)
        cost = (now.cpu - before.cpu) / max(made - runs, 1.0)
        print(
            f"interval {number:2}: {made - runs:6.0f} runs, "
            f"CPU per no-change run {cost * 1e6:4.0f} us = "
            f"{cost / head:4.1f} x HEAD ({head * 1e6:.0f} us), {cost / paced:4.1f} x at that pace, "
            f"RSS {now.rss / 1e6:6.1f} MB, growth {(now.rss - first.rss) / 1e6:+5.1f} MB",
            flush=True,
        )
        ratios.append(cost / head)
        before, runs = now, made
    print(
        f"over {intervals} intervals: {statistics.median(ratios):.1f} x HEAD (median), "
        f"growth {(before.rss - first.rss) / 1e6:+.1f} MB"
    )


def main() -> int:
    """Entry point; 1 if a process that was to be measured ended."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--intervals", type=int, default=10)
    chosen = parser.parse_args()
    try:
        asyncio.run(measure(chosen.objects, chosen.intervals))
    except (EndedError, processes.StartError) as error:
        print(f"not measured: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
