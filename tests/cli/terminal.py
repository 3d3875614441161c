"""Command lines run in this process, and servers that they talk to."""

import asyncio
import contextlib
import dataclasses
import io
import os
import pathlib
import re
import sys
import typing
from collections.abc import Callable, Iterator, Mapping

import pytest

from ocisource.api import ocirepository
from ocisource.cli import main
from ocisource.kube import client, config, patch, resources
from tests.parts import commands, processes

Document = dict[str, typing.Any]
SOURCES: resources.Resource[Document] = resources.Resource(
    ocirepository.GROUP, "v1", ocirepository.PLURAL, ocirepository.KIND, dict
)
DIGEST = "6c959c51ccbb952e5fe6737563338a0aaf975675dcf812912cf09e5463181871"


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """How a command line ended."""

    code: int
    out: str
    err: str


class _Watched(io.StringIO):
    """Somebody who presses Ctrl-C when there are enough lines."""

    def __init__(self, lines: int) -> None:
        super().__init__()
        self._lines = lines

    def write(self, text: str, /) -> int:
        """Keep the text."""
        written = super().write(text)
        if self._lines and self.getvalue().count("\n") >= self._lines:
            raise KeyboardInterrupt
        return written


class Shell:
    """Runs command lines with an environment of its own, against one cluster and namespace."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.namespace = "default"
        self.kubeconfig: pathlib.Path | None = None

    def use(self, kubeconfig: pathlib.Path, *, namespace: str) -> None:
        """Talk to this cluster from now on."""
        self.kubeconfig, self.namespace = kubeconfig, namespace
        self._monkeypatch.setenv("KUBECONFIG", str(kubeconfig))

    def __call__(self, *words: str, stdin: bytes = b"", lines: int = 0) -> Result:
        """Run a command line as it stands; interrupt it after so many lines of output, if any."""
        out, err = _Watched(lines), io.StringIO()
        typed = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")
        self._monkeypatch.setattr(sys, "stdin", typed)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main.run(words)
        return Result(code, out.getvalue(), err.getvalue())

    def here(self, *words: str, stdin: bytes = b"", lines: int = 0) -> Result:
        """Run a command line in the test's namespace."""
        return self("-n", self.namespace, *words, stdin=stdin, lines=lines)

    def api(self, work: Callable[[client.Client], typing.Any]) -> typing.Any:
        """Do something at the API directly."""
        assert self.kubeconfig is not None
        place = config.load(self.kubeconfig, environ={})

        async def run() -> typing.Any:
            async with client.Client(place) as api:
                return await work(api)

        return asyncio.run(run())

    def put(
        self,
        name: str,
        *,
        spec: Mapping[str, typing.Any] | None = None,
        status: Mapping[str, typing.Any] | None = None,
        **metadata: typing.Any,
    ) -> None:
        """Make an OCIRepository with any status."""
        document = {
            "apiVersion": f"{ocirepository.GROUP}/v1",
            "kind": ocirepository.KIND,
            "metadata": {"name": name, "namespace": self.namespace, **metadata},
            "spec": {"url": "oci://example.com/org/app", "interval": "1m", **(spec or {})},
        }

        async def work(api: client.Client) -> None:
            await api.create(SOURCES, document, namespace=self.namespace)
            if status is not None:
                await api.patch(
                    SOURCES,
                    name,
                    patch.merge({"status": status}),
                    namespace=self.namespace,
                    subresource="status",
                )

        self.api(work)

    def get(self, name: str) -> Document:
        """An OCIRepository as it now is."""

        async def work(api: client.Client) -> Document:
            return await api.get(SOURCES, name, namespace=self.namespace)

        return typing.cast("Document", self.api(work))


def ready(message: str = "stored artifact", **more: typing.Any) -> Document:
    """A status with Ready=True and an artifact."""
    artifact = {
        "digest": f"sha256:{DIGEST}",
        "lastUpdateTime": "2022-06-14T11:23:36Z",
        "path": "ocirepository/a/b/c.tar.gz",
        "revision": f"6.3.5@sha256:{DIGEST}",
        "size": 1536,
        "url": "http://localhost/c.tar.gz",
    }
    return {"artifact": artifact, **conditions(("Ready", "True", "Succeeded", message)), **more}


def conditions(*found: tuple[str, str, str, str], generation: int = 1) -> Document:
    """A status with these conditions: type, status, reason, message."""
    listed = [
        {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "lastTransitionTime": "2022-06-14T11:23:36Z",
            "observedGeneration": generation,
        }
        for kind, status, reason, message in found
    ]
    return {"conditions": listed, "observedGeneration": generation}


@contextlib.contextmanager
def embedded(folder: pathlib.Path, *words: str) -> Iterator[pathlib.Path]:
    """Run ``ocisource apiserver`` or ``up``; yields the kubeconfig."""
    data = folder / "data"
    command = [sys.executable, "-c", "from ocisource.cli.main import main; main()", *words]
    part = processes.start(
        [*command, "--data-dir", data, "--api-addr", "127.0.0.1:0"],
        log=folder / "log.txt",
        is_ready=lambda: "kubeconfig" in (folder / "log.txt").read_text(),
        environ=commands.clean_environ(folder / "home"),
    )
    try:
        yield data / "kubeconfig"
    finally:
        part.stop()


def masked(text: str) -> str:
    """The text with addresses and digests of this run replaced."""
    text = re.sub(r"127\.0\.0\.1:\d+", "HOST", text)
    return re.sub(r"\b[0-9a-f]{64}\b", "HEX", text)


def plain_environ(home: pathlib.Path, **more: str) -> dict[str, str]:
    """An environment for a process of its own."""
    return commands.clean_environ(home, PYTHONPATH=os.environ.get("PYTHONPATH", ""), **more)
