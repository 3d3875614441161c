"""HTTP for the libraries that speak through ``requests``: bounds on waiting, proxies, netrc."""

import pathlib
from collections.abc import Mapping
from typing import Any

import pytest
import requests

from ocisource.net import proxy as proxies
from ocisource.oci.providers import calls, sessions

REMOTE, METADATA = "https://sts.googleapis.com/v1/token", "http://169.254.169.254/metadata"


class Wire(requests.adapters.BaseAdapter):
    """Sends nothing, and remembers how it was to be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[requests.PreparedRequest, Any, Mapping[str, str]]] = []

    def send(  # type: ignore[override]
        self, request: requests.PreparedRequest, **options: Any
    ) -> requests.Response:
        """An empty answer."""
        self.sent.append((request, options["timeout"], options["proxies"]))
        answer = requests.Response()
        answer.status_code = 200
        answer.url = str(request.url)
        answer.request = request
        answer.raw = None
        answer._content = b""
        return answer

    def close(self) -> None:
        """Nothing is open."""


def wired(proxy: proxies.Proxy | None = None) -> tuple[sessions.Session, Wire]:
    """A session on such a wire."""
    session, wire = sessions.Session(proxy), Wire()
    for scheme in ("http://", "https://"):
        session.mount(scheme, wire)
    return session, wire


@pytest.mark.parametrize(
    ("url", "wanted", "given"),
    [
        (REMOTE, None, (calls.CONNECT_TIMEOUT, calls.DEADLINE)),
        (REMOTE, 120, (calls.CONNECT_TIMEOUT, calls.DEADLINE)),
        (REMOTE, (300, 300), (calls.CONNECT_TIMEOUT, calls.DEADLINE)),
        (REMOTE, 2.0, (2.0, 2.0)),
        (METADATA, 3, (1.0, 3)),
        ("http://metadata.google.internal/", None, (1.0, calls.DEADLINE)),
    ],
)
def test_no_library_waits_longer_than_a_login_may(url: str, wanted: object, given: object) -> None:
    """A metadata service that is not there is known in time to say so."""
    session, wire = wired()
    session.request("GET", url, timeout=wanted)
    ((_, timeout, _),) = wire.sent
    assert timeout == given


def test_the_objects_proxy_goes_before_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    """And neither is between us and the machine we run on."""
    monkeypatch.setenv("HTTPS_PROXY", "http://environment.example:1")
    monkeypatch.setenv("HTTP_PROXY", "http://environment.example:1")
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
    own = proxies.Proxy.parse("http://own.example:2", "user", "pass")
    for proxy, expected in ((own, "http://user:pass@own.example:2"), (None, None)):
        session, wire = wired(proxy)
        session.request("POST", REMOTE)
        session.request("GET", METADATA)
        (_, _, remote), (_, _, local) = wire.sent
        assert remote["https"] == (expected or "http://environment.example:1")
        assert not local


def test_netrc_adds_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """The password there is for whoever wrote it, not for a cloud."""
    (tmp_path / "netrc").write_text("machine sts.googleapis.com login user password s3cret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    session, wire = wired()
    session.request("POST", REMOTE)
    ((request, _, _),) = wire.sent
    assert "Authorization" not in request.headers
