"""The cluster that a command talks to: where it is, which namespace is meant, for how long.

Where, first that there is: ``--kubeconfig``, ``KUBECONFIG``, ``~/.kube/config``, the embedded API
of a running ``ocisource up`` of the same user, the Pod we run in.

Which namespace, strongest first: ``-n``; the context's own with ``--ns-follows-kube-context``, and
always with the embedded API, whose users know no ``flux-system``; ``FLUX_SYSTEM_NAMESPACE``;
``flux-system``.
"""

import asyncio
import contextlib
import dataclasses
import os
import pathlib
import socket
import typing
import urllib.parse
from collections.abc import Awaitable, Callable, Coroutine, Mapping

from ocisource import errors
from ocisource.api import ocirepository
from ocisource.cli import choice, output
from ocisource.cli.machines import places
from ocisource.kube import config, kubeconfig
from ocisource.wire import durations, names

if typing.TYPE_CHECKING:
    from ocisource.kube import client, resources

DEFAULT_NAMESPACE = "flux-system"
EMBEDDED_CONTEXT = "ocisource"  # as the kubeconfig of `ocisource up` names it
_PROBE = 1.0  # seconds for a connection on this machine
_GOODBYE = 0.05  # seconds; TLS wants an answer to its last message
_RETRIES = 2  # of a refused or broken connection: a person is waiting, a third of a second will do
_NOT_UP = "'ocisource up' with the same --data-dir starts it"
_NOT_THERE = "is it running, and are --kubeconfig and --context (or --server) the right ones?"
_GRACE = 0.1  # seconds after the deadline for a wait to say what it was waiting for

Document = dict[str, typing.Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A cluster and the namespace that is meant there; ``is_embedded`` in an `ocisource up`."""

    config: config.ClusterConfig
    namespace: str
    is_embedded: bool = False


@dataclasses.dataclass(slots=True)
class Connection:
    """A client, the namespace that is meant, and the version of our kind that is spoken.

    ``deadline`` is the loop's time until which waits may go on, None for endless work.
    """

    api: "client.Client"
    namespace: str
    deadline: float | None = None
    version: str = ocirepository.VERSIONS[0]

    @property
    def sources(self) -> "resources.Resource[ocirepository.OCIRepository]":
        """Our kind, read as values."""
        return self._resource(ocirepository.OCIRepository)

    @property
    def documents(self) -> "resources.Resource[Document]":
        """Our kind, read as it is."""
        return self._resource(Document)

    def _resource(self, model: typing.Any) -> "resources.Resource[typing.Any]":
        from ocisource.kube import resources  # noqa: PLC0415

        return resources.Resource(
            ocirepository.GROUP,
            self.version,
            ocirepository.PLURAL,
            ocirepository.KIND,
            model,
        )

    async def agree_on_version(self) -> None:
        """Speak the newest version of our kind that the server serves; raises APIStatusError."""
        served = await self.api.versions(ocirepository.GROUP)
        known = [version for version in ocirepository.VERSIONS if version in served]
        if not known:
            raise errors.APIStatusError(
                "the cluster has no OCIRepository: 'ocisource install' brings its definition",
                code=404,
            )
        self.version = known[0]


def locate(chosen: choice.Chosen, environ: Mapping[str, str] = os.environ) -> Place:
    """The cluster that the options and the environment mean; raises UsageError."""
    overrides = config.Overrides(
        cluster=chosen.cluster,
        user=chosen.user,
        server=chosen.server,
        token=chosen.token,
        certificate_authority=chosen.certificate_authority,
        client_certificate=chosen.client_certificate,
        client_key=chosen.client_key,
        tls_server_name=chosen.tls_server_name,
        is_insecure=chosen.is_insecure,
        impersonation=config.Impersonation(
            user=chosen.impersonated,
            uid=chosen.impersonated_uid,
            groups=tuple(chosen.impersonated_groups),
            extra=chosen.extra(),
        ),
    )
    files = kubeconfig.find_files(chosen.kubeconfig, environ)
    path = chosen.kubeconfig
    if not files and not chosen.server:
        path = _embedded(environ)
        files = (path,) if path is not None else ()
    found = config.load(path, chosen.context or None, environ, overrides=overrides)
    is_embedded = _is_embedded(files, chosen.context)
    is_following = (
        chosen.is_namespace_following
        or bool(environ.get("FLUX_NS_FOLLOWS_KUBE_CONTEXT"))
        or is_embedded
    )
    if found.namespace and is_following and not chosen.namespace:
        return Place(found, found.namespace, is_embedded)
    return Place(found, named_namespace(chosen, environ), is_embedded)


def run(
    chosen: choice.Chosen,
    work: Callable[[Connection], Awaitable[int | None]],
    *,
    is_endless: bool = False,
) -> int:
    """Do the work with a connection within ``--timeout``; the exit code.

    Endless work (watch, follow) is bounded only by a ``--timeout`` that was given, and ends well
    then. Raises OcisourceError.
    """
    place = locate(chosen)
    seconds = chosen.timeout if chosen.is_timeout_given or not is_endless else None
    try:
        return asyncio.run(_settled(_run(chosen, place, work, seconds))) or 0
    except errors.NotSentError as error:
        hint = _NOT_UP if place.is_embedded and not chosen.server else _NOT_THERE
        raise errors.NotSentError(f"{error.text}; {hint}") from None
    except TimeoutError:
        if is_endless:
            return 0
        raise errors.DeadlineError(
            f"timed out after {durations.format_seconds(chosen.timeout)}; --timeout allows more"
        ) from None


async def _settled(work: Coroutine[typing.Any, typing.Any, int | None]) -> int | None:
    """Do the work; a stream that was cut gets the time to say goodbye to its server."""
    try:
        return await work
    except TimeoutError:
        await asyncio.sleep(_GOODBYE)
        raise


async def _run(
    chosen: choice.Chosen,
    place: Place,
    work: Callable[[Connection], Awaitable[int | None]],
    seconds: float | None,
) -> int | None:
    # Imported here: aiohttp is most of a command's start-up time, and errors need not wait for it.
    from ocisource.kube import client, exchange  # noqa: PLC0415

    settings = exchange.ClientSettings(
        qps=max(chosen.qps, 0.0),
        burst=max(chosen.burst, 1),
        field_manager="ocisource",
        retries=_RETRIES,
    )
    deadline = None if seconds is None else asyncio.get_running_loop().time() + seconds
    last = None if deadline is None else deadline + _GRACE
    async with asyncio.timeout_at(last), client.Client(place.config, settings=settings) as api:
        connection = Connection(api, place.namespace, deadline)
        try:
            return await work(connection)
        except errors.APIStatusError as error:
            if not is_kind_unknown(error):
                raise
            # A cluster of the days of v1beta2; nothing was done yet, so the work begins anew.
            await connection.agree_on_version()
            if connection.version == ocirepository.VERSIONS[0]:
                raise
            return await work(connection)


def is_refused(error: errors.OcisourceError) -> bool:
    """Whether the server does not take the login, so that nothing else can work either."""
    return isinstance(error, errors.APIStatusError) and error.code == 401  # noqa: PLR2004


def is_kind_unknown(error: errors.APIStatusError) -> bool:
    """Whether the server does not know the kind, rather than the object."""
    return error.code == 404 and not error.details.get("name")  # noqa: PLR2004


def _embedded(environ: Mapping[str, str]) -> pathlib.Path | None:
    """The kubeconfig of a running `ocisource up`; raises UsageError if there is nothing at all."""
    with contextlib.suppress(errors.UsageError):  # without a home there is no `up` of this user
        path = places.default_data_dir() / places.KUBECONFIG
        if path.is_file() and _is_listening(path):
            return path
    if "KUBERNETES_SERVICE_HOST" in environ:
        return None
    raise errors.UsageError(
        "no Kubernetes configuration found, and no embedded server is running: name a file with "
        "--kubeconfig or KUBECONFIG, or start one with 'ocisource up'"
    )


def _is_listening(path: pathlib.Path) -> bool:
    server = urllib.parse.urlsplit(config.load(path, environ={}).server)
    try:
        with socket.create_connection((server.hostname, server.port or 443), timeout=_PROBE):
            return True
    except OSError:
        return False


def _is_embedded(files: tuple[pathlib.Path, ...], context: str) -> bool:
    if not files:
        return False
    current = (
        context or kubeconfig.merge([kubeconfig.read(file) for file in files])["current-context"]
    )
    return bool(current == EMBEDDED_CONTEXT)


def named_namespace(chosen: choice.Chosen, environ: Mapping[str, str]) -> str:
    """The namespace that options and environment name without any cluster; raises UsageError."""
    if chosen.namespace:
        if not names.is_dns_label(chosen.namespace):
            raise errors.UsageError(f'namespace must be a valid DNS label: "{chosen.namespace}"')
        return chosen.namespace
    ambient = environ.get("FLUX_SYSTEM_NAMESPACE", "")
    if ambient and not names.is_dns_label(ambient):
        output.say(output.WARNING, f'ignoring invalid FLUX_SYSTEM_NAMESPACE: "{ambient}"')
        ambient = ""
    return ambient or DEFAULT_NAMESPACE
