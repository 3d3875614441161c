"""The two servers every case is run against: the embedded one and a real kube-apiserver."""

import asyncio
import base64
import concurrent.futures
import contextlib
import dataclasses
import json
import os
import pathlib
import re
import threading
from collections.abc import Iterator

import yaml

from ocisource.apiserver import server
from ocisource.manifests import load
from tests.parts import commands, kubernetes, programs

_START_SECONDS = 30.0
_STOP_SECONDS = 30.0
_KUBECTL_MINOR = re.compile(r"kubectl\.1\.(\d+)")


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """A running server: where it is and the administrator's way in."""

    name: str
    url: str
    token: str
    ca_file: pathlib.Path
    kubeconfig: pathlib.Path


@contextlib.contextmanager
def embedded(folder: pathlib.Path) -> Iterator[Subject]:
    """Run the embedded server in a thread of its own, with ``folder`` for its data."""
    ready: concurrent.futures.Future[server.Running] = concurrent.futures.Future()
    stop = threading.Event()
    thread = threading.Thread(target=_serve, args=(folder, ready, stop), name="embedded API")
    thread.start()
    try:
        running = ready.result(_START_SECONDS)
        ca_file = folder / "conformance-ca.crt"
        config = _kubeconfig(running.kubeconfig_path, ca_file)
        yield Subject("embedded", running.address, config, ca_file, running.kubeconfig_path)
    finally:
        stop.set()
        thread.join(_STOP_SECONDS)
        assert not thread.is_alive(), "the embedded server does not stop"


def _serve(
    folder: pathlib.Path,
    ready: concurrent.futures.Future[server.Running],
    stop: threading.Event,
) -> None:
    async def serve() -> None:
        try:
            running = await server.serve(folder, manifests=[load.crd()])
        except BaseException as error:
            ready.set_exception(error)
            raise
        ready.set_result(running)
        await asyncio.to_thread(stop.wait)
        await running.stop()

    asyncio.run(serve())


def _kubeconfig(path: pathlib.Path, ca_file: pathlib.Path) -> str:
    """The administrator's token; the server's authority is written to ``ca_file``."""
    document = yaml.safe_load(path.read_text())
    ca_file.write_bytes(
        base64.b64decode(document["clusters"][0]["cluster"]["certificate-authority-data"])
    )
    return str(document["users"][0]["user"]["token"])


def real(plane: kubernetes.ControlPlane) -> Subject:
    """A running control plane as a subject."""
    return Subject("real", plane.url, kubernetes.ADMIN_TOKEN, plane.ca_file, plane.kubeconfig())


def find_kubectl() -> pathlib.Path:
    """One kubectl for both servers.

    A distribution's dispatcher chooses a version by the server it meets; the newest of its
    versions up to 1.32 is taken instead, so that both servers meet the same client.
    """
    found = programs.find("kubectl", package="kubernetes-client").resolve()
    minors = {
        int(match[1]): path
        for path in found.parent.iterdir()
        if (match := _KUBECTL_MINOR.fullmatch(path.name)) is not None
    }
    chosen = [minor for minor in minors if minor <= NEWEST_MINOR]
    return minors[max(chosen)] if chosen else found


def minor_of(kubectl: pathlib.Path, home: pathlib.Path) -> int:
    """The minor version of a kubectl, 32 for v1.32.5."""
    words: list[str | os.PathLike[str]] = [kubectl, "version", "--client", "-o", "json"]
    done = commands.run(words, environ=commands.clean_environ(home))
    return int(json.loads(done.stdout)["clientVersion"]["minor"].rstrip("+"))


NEWEST_MINOR = 32  # the level of the API that the embedded server reports


def environ(subject: Subject, home: pathlib.Path) -> dict[str, str]:
    """An environment for kubectl with a home and a discovery cache of its own."""
    return commands.clean_environ(
        home,
        KUBECONFIG=str(subject.kubeconfig),
        KUBECACHEDIR=str(home / "cache"),
        TMPDIR="/tmp",
    )
