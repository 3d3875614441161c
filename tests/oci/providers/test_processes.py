"""Processes that log in: they leave when they are told to, and print nothing but their own lines.

Two things hang here: an endpoint that takes a request and never answers, which AWS's library gives
up after a while, and a helper program for credentials, which it waits for without end.
"""

import asyncio
import base64
import contextlib
import os
import pathlib
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

import pytest
import yaml

from ocisource.api import ocirepository
from tests.e2e import machine
from tests.oci.providers import clouds
from tests.parts import commands

HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
PATIENCE = 120.0  # seconds; a bound for tests that fail


Asked = Callable[[], Awaitable[None]]
Hanging = Callable[
    [pathlib.Path], contextlib.AbstractAsyncContextManager[tuple[dict[str, str], Asked]]
]


@pytest.fixture(autouse=True)
def _interrupts_are_heard() -> Iterator[None]:
    """Let no process inherit deaf ears, as those have that a shell starts in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@contextlib.asynccontextmanager
async def silent_endpoint(folder: pathlib.Path) -> AsyncIterator[tuple[dict[str, str], Asked]]:
    """What leads botocore to a cloud that never answers, and the wait for its question."""
    async with clouds.serve() as cloud:
        cloud.is_silent = True

        async def asked() -> None:
            await cloud.is_asked.wait()

        yield leading_to(cloud, folder), asked


@contextlib.asynccontextmanager
async def endless_helper(folder: pathlib.Path) -> AsyncIterator[tuple[dict[str, str], Asked]]:
    """What has botocore run a helper that waits for us, and the wait for its start."""
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    (folder / "config").write_text(f"[default]\ncredential_process = cat {pipe}\n")
    writers: list[int] = []

    async def asked() -> None:
        while not writers:
            with contextlib.suppress(OSError):  # nobody reads yet
                writers.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
            await asyncio.sleep(0.05)

    try:
        yield {"AWS_CONFIG_FILE": os.fspath(folder / "config")}, asked
    finally:
        for each in writers:
            os.close(each)


def leading_to(cloud: clouds.Cloud, folder: pathlib.Path) -> dict[str, str]:
    """AWS at this place, with a key to sign with."""
    return {
        "AWS_CONFIG_FILE": os.fspath(folder / "none"),
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "s3cret-access-key",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{cloud.port}",
    }


@contextlib.asynccontextmanager
async def asking(
    folder: pathlib.Path, more: Mapping[str, str], asked: Asked, *words: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process of the command, once it waits for the cloud."""
    environ = {
        **commands.clean_environ(folder / "home"),
        "AWS_EC2_METADATA_DISABLED": "true",
        **more,
    }
    process = await asyncio.create_subprocess_exec(
        *words,
        env=environ,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        await asked()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def ended(process: asyncio.subprocess.Process, with_: signal.Signals) -> tuple[int, str]:
    """Exit status and output of a process that is told to end."""
    process.send_signal(with_)
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


@pytest.mark.parametrize("hanging", [silent_endpoint, endless_helper])
async def test_a_command_leaves_on_an_interrupt(hanging: Hanging, tmp_path: pathlib.Path) -> None:
    """Ctrl-C while AWS is silent."""
    argv = (sys.executable, "-m", "ocisource", "pull", "artifact", f"oci://{HOST}/app:latest")
    options = ("--provider", "aws", "--output", os.fspath(tmp_path))
    async with (
        asyncio.timeout(PATIENCE),
        hanging(tmp_path) as (more, asked),
        asking(tmp_path, more, asked, *argv, *options) as process,
    ):
        status, output = await ended(process, signal.SIGINT)
    assert status == 130
    assert "Traceback" not in output


def manifest(folder: pathlib.Path) -> str:
    """A file that declares an OCIRepository of ECR."""
    document = {
        "apiVersion": f"{ocirepository.GROUP}/v1",
        "kind": ocirepository.KIND,
        "metadata": {"name": "app", "namespace": "default"},
        "spec": {"url": f"oci://{HOST}/app", "interval": "10m", "provider": "aws"},
    }
    file = folder / "app.yaml"
    file.write_text(yaml.safe_dump(document))
    return os.fspath(file)


@pytest.mark.parametrize(
    ("hanging", "with_"),
    [
        (silent_endpoint, signal.SIGTERM),
        (endless_helper, signal.SIGTERM),
        (endless_helper, signal.SIGINT),
    ],
)
async def test_a_controller_leaves_on_a_signal(
    hanging: Hanging, with_: signal.Signals, tmp_path: pathlib.Path
) -> None:
    """What is under way is called off, and nothing is lost: the next start asks again."""
    argv = machine.argv(tmp_path, "-f", manifest(tmp_path))
    async with (
        asyncio.timeout(PATIENCE),
        hanging(tmp_path) as (more, asked),
        asking(tmp_path, more, asked, *argv) as process,
    ):
        status, output = await ended(process, with_)
    assert status == 0, output
    assert "Traceback" not in output


async def test_no_log_of_any_level_holds_a_credential(tmp_path: pathlib.Path) -> None:
    """Neither the controller's own nor what the libraries log on their own account."""
    token = base64.b64encode(b"AWS:s3cret-password").decode()
    data = [{"authorizationToken": token, "expiresAt": 4_000_000_000}]
    answers = {"POST /": clouds.Said({"authorizationData": data})}
    async with asyncio.timeout(PATIENCE), clouds.serve(answers) as cloud, clouds.forward({}) as way:
        way.routes[f"{HOST}:443"] = ("127.0.0.1", 9)  # nobody is there
        proxy = f"http://user:s3cret-proxy@127.0.0.1:{way.port}"
        argv = machine.argv(tmp_path, "-f", manifest(tmp_path), "--log-level", "trace")
        more = {**leading_to(cloud, tmp_path), "HTTPS_PROXY": proxy}

        async def asked() -> None:
            await cloud.is_asked.wait()

        async with asking(tmp_path, more, asked, *argv) as process:
            assert process.stdout is not None
            printed = line = await process.stdout.readline()
            while line and b"failed to determine artifact digest" not in line:
                line = await process.stdout.readline()
                printed += line
            _, rest = await ended(process, signal.SIGTERM)
    logged = "".join(each.read_text() for each in (tmp_path / "data").rglob("*.log"))
    assert "failed to determine artifact digest" in logged
    for told in (printed.decode() + rest, logged):
        assert "s3cret" not in told
        assert token not in told


async def test_a_commands_refusal_is_one_line_and_no_librarys_warning_is_printed(
    tmp_path: pathlib.Path,
) -> None:
    """The library logs a warning of many lines; ours has all there is to say."""
    environ = {
        **commands.clean_environ(tmp_path / "home"),
        "AZURE_POD_IDENTITY_AUTHORITY_HOST": "http://127.0.0.1:9",
        "PATH": "",
    }
    argv = [sys.executable, "-m", "ocisource", "pull", "artifact", "oci://foo.azurecr.io/app:1"]
    done = await asyncio.to_thread(
        commands.run,
        [*argv, "--provider", "azure", "--output", os.fspath(tmp_path)],
        environ=environ,
        folder=tmp_path,
        is_checked=False,
    )
    assert done.code == 1
    begun, pulling, failed = (done.stdout + done.stderr).splitlines()
    assert begun.startswith("► logging in")
    assert pulling.startswith("► pulling artifact from foo.azurecr.io/app:1")
    assert failed.startswith("✗ pulling artifact failed: failed to get access token for artifact")
    assert "AzureCliCredential: Azure CLI not found on path" in failed
