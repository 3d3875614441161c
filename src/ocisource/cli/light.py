"""Reading a list without an event loop and without aiohttp: for commands that ask one question.

aiohttp is most of a command's start-up time. Where the login is a fixed token, password or
certificate and no proxy stands between, the standard library asks as well. Anything else (exec
plugins, proxies, long lists, any failure) is left to the full client, which tells what is wrong.
"""

import http.client
import os
import socket
import ssl
import tempfile
import time
import typing
import urllib.parse
from collections.abc import Mapping, Sequence

import msgspec

from ocisource import errors, version
from ocisource.api import ocirepository
from ocisource.kube import logins
from ocisource.wire import durations

if typing.TYPE_CHECKING:
    from ocisource.cli import choice, cluster
    from ocisource.cli.sources import rows
    from ocisource.kube import config

_CONNECT = 10.0  # seconds
_BODY_MAX = 64 << 20  # bytes of an answer
_READ = 1 << 16  # bytes
_PAGE = 500  # objects; a longer list is left to the full client
_PROXIES = ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")


_List = typing.TypeVar("_List", "_Sources", "_Documents")


class _ListMeta(msgspec.Struct, frozen=True):
    continue_: str = msgspec.field(default="", name="continue")


class _Sources(msgspec.Struct, frozen=True):
    metadata: _ListMeta
    items: tuple[ocirepository.OCIRepository, ...] | None = None


class _Documents(msgspec.Struct, frozen=True):
    metadata: _ListMeta
    items: tuple[dict[str, typing.Any], ...] | None = None


def sources(
    place: "cluster.Place",
    chosen: "choice.Chosen",
    query: "rows.Query",
    environ: Mapping[str, str] = os.environ,
) -> Sequence[ocirepository.OCIRepository] | None:
    """The sources that are wanted; None where the full client has to ask.

    Raises DeadlineError when ``--timeout`` is over.
    """
    found = _listed(place, chosen, query, environ, _Sources)
    return None if found is None else found.items or ()


def documents(
    place: "cluster.Place",
    chosen: "choice.Chosen",
    query: "rows.Query",
    environ: Mapping[str, str] = os.environ,
) -> Sequence[dict[str, typing.Any]] | None:
    """As sources(), the objects as they are."""
    found = _listed(place, chosen, query, environ, _Documents)
    return None if found is None else found.items or ()


def _listed(
    place: "cluster.Place",
    chosen: "choice.Chosen",
    query: "rows.Query",
    environ: Mapping[str, str],
    kind: type[_List],
) -> _List | None:
    login = _login(place.config, environ)
    if login is None:
        return None
    seconds = min(chosen.timeout, _CONNECT)
    try:
        body = _get(place.config, _path(query, place.namespace), login, seconds=seconds)
        found = msgspec.json.decode(body, type=kind) if body is not None else None
    except TimeoutError:
        if seconds < chosen.timeout:
            return None
        raise errors.DeadlineError(
            f"timed out after {durations.format_seconds(seconds)}; --timeout allows more"
        ) from None
    except (OSError, http.client.HTTPException, ValueError, RecursionError):
        return None
    return None if found is None or found.metadata.continue_ else found


def _path(query: "rows.Query", namespace: str) -> str:
    selection = query.selection(namespace)
    folder = f"namespaces/{selection['namespace']}/" if selection["namespace"] else ""
    asked = {
        "labelSelector": selection["label_selector"],
        "fieldSelector": selection["field_selector"],
        "limit": str(_PAGE),
    }
    words = urllib.parse.urlencode({key: value for key, value in asked.items() if value})
    group = f"{ocirepository.GROUP}/{ocirepository.VERSIONS[0]}"
    return f"/apis/{group}/{folder}{ocirepository.PLURAL}?{words}"


def _login(
    cluster: "config.ClusterConfig", environ: Mapping[str, str]
) -> logins.MaterialLogin | None:
    is_plain = not cluster.proxy_url and not any(environ.get(name) for name in _PROXIES)
    is_plain = is_plain and cluster.impersonation.user == "" and not cluster.is_insecure
    source = cluster.login_source
    is_plain = is_plain and isinstance(source, logins.MaterialLogin)
    return source if is_plain and isinstance(source, logins.MaterialLogin) else None


def _get(
    cluster: "config.ClusterConfig", path: str, source: logins.MaterialLogin, *, seconds: float
) -> bytes | None:
    """The body of a positive answer."""
    until = time.monotonic() + seconds
    login = _answer(source)
    server = urllib.parse.urlsplit(cluster.server)
    if server.scheme != "https" or server.hostname is None:
        return None
    headers = {"Accept": "application/json", "User-Agent": f"ocisource/{version.VERSION}"}
    if login.authorization:
        headers["Authorization"] = login.authorization
    connection = http.client.HTTPSConnection(
        server.hostname, server.port or 443, timeout=seconds, context=_context(cluster, login)
    )
    try:
        if cluster.tls_server_name:
            _connect_as(connection, cluster.tls_server_name, cluster, login)
        connection.request("GET", server.path.rstrip("/") + path, headers=headers)
        answer = connection.getresponse()
        return _read(answer, until) if answer.status == http.HTTPStatus.OK else None
    finally:
        connection.close()


def _read(answer: http.client.HTTPResponse, until: float) -> bytes | None:
    """The whole body; None if it is too large, TimeoutError if it drips too slowly."""
    body = bytearray()
    while data := answer.read1(_READ):
        body += data
        if len(body) > _BODY_MAX:
            return None
        if time.monotonic() > until:
            raise TimeoutError
    return bytes(body)


def _connect_as(
    connection: http.client.HTTPSConnection,
    name: str,
    cluster: "config.ClusterConfig",
    login: logins.Login,
) -> None:
    plain = socket.create_connection((connection.host, connection.port), connection.timeout)
    connection.sock = _context(cluster, login).wrap_socket(plain, server_hostname=name)


def _answer(source: logins.MaterialLogin) -> logins.Login:
    """The login of a source that never waits, without a loop."""
    work = source.login()
    try:
        work.send(None)
    except StopIteration as done:
        return typing.cast("logins.Login", done.value)
    raise ValueError("a login that waits")


def _context(cluster: "config.ClusterConfig", login: logins.Login) -> ssl.SSLContext:
    authority = cluster.certificate_authority.read()
    # An API server's CA stands alone, as in client-go.
    context = ssl.create_default_context(cadata=authority.decode() if authority else None)
    if login.certificate_pem:
        with tempfile.NamedTemporaryFile() as file:  # ssl reads pairs from files only; mode 0600
            file.write(login.certificate_pem + b"\n" + login.key_pem)
            file.flush()
            context.load_cert_chain(file.name)
    return context
