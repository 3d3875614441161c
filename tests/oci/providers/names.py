"""Clouds under their own names: certificates the libraries trust, and proxies to them."""

import contextlib
import pathlib
import ssl
from collections.abc import AsyncIterator, Mapping

import pytest

from tests.oci.providers import clouds
from tests.parts import certificates


def through(monkeypatch: pytest.MonkeyPatch, forward: clouds.Forward) -> None:
    """Have the environment name this proxy."""
    for name in ("HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, forward.proxy.address)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@contextlib.asynccontextmanager
async def named(
    answers: Mapping[str, clouds.Answer],
    names: list[str],
    authority: certificates.Authority,
    folder: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[clouds.Cloud]:
    """A cloud with a certificate for these names, whose authority the libraries trust."""
    files = authority.server(*names).write(folder / "cloud")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    bundle = str(authority.write(folder))
    for variable in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(variable, bundle)
    async with clouds.serve(answers, tls=context) as cloud:
        yield cloud
