"""10 000 OCIRepositories on one machine: cold start, cost of a no-change run, memory.

Three processes: nginx as the registry, the embedded API, the controller. The controller's CPU and
memory are read from the kernel's accounting of its process. The unit of cost is a bare aiohttp HEAD
on a pooled connection to the same nginx, measured in the same run: flat out, and at the pace at
which the controller has to ask. At that pace each wake-up of the process costs more than its work,
for a bare HEAD as for the controller.

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
import signal
import sys
import tarfile
import tempfile
import time
from collections.abc import AsyncIterator

import aiohttp

from ocisource import digest as digests
from ocisource import serve, settings
from ocisource.api import conditions, ocirepository
from ocisource.kube import client, config, exchange
from ocisource.manifests import load
from tests.parts import nginx

CONCURRENCY = 64
INTERVAL = 20  # seconds; short, so that ten of them fit a benchmark
_TICK = os.sysconf("SC_CLK_TCK")
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_LAYER = "application/vnd.cncf.flux.content.v1.tar+gzip"
_WAIT_SECONDS = 900
_PACED_SECONDS = 8.0


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


@contextlib.asynccontextmanager
async def child(*words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run this module's other halves in processes of their own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.scale", *words, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        await process.stdout.readline()
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def _apiserver(folder: pathlib.Path) -> None:
    # Imported here: the other processes do without it.
    from ocisource.apiserver import server  # noqa: PLC0415

    running = await server.serve(folder, manifests=[load.crd()])
    print("ready", flush=True)
    await _terminated()
    await running.stop()


async def _controller(folder: pathlib.Path, store: pathlib.Path) -> None:
    chosen = dataclasses.replace(settings.Settings(), storage_path=store)
    limits = exchange.ClientSettings(qps=0)
    async with (
        client.Client(config.load(folder / "kubeconfig"), settings=limits) as api,
        serve.controller(chosen, api, storage_address=("127.0.0.1", 0)),
    ):
        print("ready", flush=True)
        await _terminated()


async def _terminated() -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await ended.wait()


async def _create(api: client.Client, host: str, count: int) -> None:
    resource = await serve.ocirepositories(api)
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            await api.create(resource, document(host, number), namespace="default")

    await asyncio.gather(*(work() for _ in range(16)))


async def _ready(api: client.Client, count: int) -> int:
    resource = await serve.ocirepositories(api)
    end = time.monotonic() + _WAIT_SECONDS
    while True:
        listing = await api.list(resource)
        ready = sum(
            conditions.is_true(obj.status.conditions, conditions.READY) for obj in listing.items
        )
        if ready >= count or time.monotonic() > end:
            return ready
        await asyncio.sleep(1)


async def measure(objects: int, intervals: int) -> None:
    """Print the table."""
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
        print(f"  at {objects / INTERVAL:.0f} a second          {paced * 1e6:8.0f} us CPU")
        async with (
            child("apiserver", str(folder / "api")),
            client.Client(
                config.load(folder / "api" / "kubeconfig"), settings=exchange.ClientSettings(qps=0)
            ) as api,
        ):
            began = time.monotonic()
            await _create(api, host, objects)
            print(f"{objects} objects created in   {time.monotonic() - began:8.1f} s")
            began = time.monotonic()
            async with child("controller", str(folder / "api"), str(folder / "store")) as process:
                ready = await _ready(api, objects)
                cold = Usage.of(process.pid)
                print(f"cold start to {ready} Ready  {time.monotonic() - began:8.1f} s")
                print(f"  CPU per first fetch      {cold.cpu / objects * 1e6:8.0f} us")
                print(f"  RSS                      {cold.rss / 1e6:8.1f} MB")
                await _intervals(process.pid, objects, intervals, head=head, paced=paced)


async def _intervals(pid: int, objects: int, intervals: int, *, head: float, paced: float) -> None:
    await asyncio.sleep(INTERVAL)  # the runs that the cold start has queued
    before = Usage.of(pid)
    for number in range(1, intervals + 1):
        await asyncio.sleep(INTERVAL)
        now = Usage.of(pid)
        run = (now.cpu - before.cpu) / objects
        print(
            f"interval {number:2}: CPU per no-change run {run * 1e6:6.0f} us = "
            f"{run / head:4.1f} x HEAD, {run / paced:4.1f} x HEAD at that pace, "
            f"RSS {now.rss / 1e6:6.1f} MB",
            flush=True,
        )
        before = now


def main() -> None:
    """Entry point; the other halves run in processes of their own."""
    if sys.argv[1:2] == ["apiserver"]:
        asyncio.run(_apiserver(pathlib.Path(sys.argv[2])))
        return
    if sys.argv[1:2] == ["controller"]:
        asyncio.run(_controller(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--intervals", type=int, default=10)
    chosen = parser.parse_args()
    asyncio.run(measure(chosen.objects, chosen.intervals))


if __name__ == "__main__":
    main()
