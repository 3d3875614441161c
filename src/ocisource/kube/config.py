"""Where the cluster is and who we are there: kubeconfig files, and the Pod we may run in.

Files as ``kubeconfig`` finds them; without any, the service account of the Pod. Flags
(``Overrides``) win over files. Paths in a file are relative to that file.
"""

import dataclasses
import os
import pathlib
import time
import typing
import urllib.parse
from collections.abc import Callable, Mapping

from ocisource import errors
from ocisource.kube import kubeconfig, logins, users

SERVICE_ACCOUNT_FOLDER = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")

Document = dict[str, typing.Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Impersonation:
    """Whom to act as (``as``, ``as-uid``, ``as-groups``, ``as-user-extra`` in a kubeconfig)."""

    user: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Overrides:
    """What flags say instead of the kubeconfig; empty values say nothing."""

    cluster: str = ""
    user: str = ""
    namespace: str = ""
    server: str = ""
    token: str = dataclasses.field(default="", repr=False)
    certificate_authority: str = ""
    client_certificate: str = ""
    client_key: str = ""
    tls_server_name: str = ""
    is_insecure: bool = False
    impersonation: Impersonation = Impersonation()


@dataclasses.dataclass(frozen=True, slots=True)
class ClusterConfig:
    """How to reach one API server.

    ``namespace`` is the context's, empty when it names none; an empty
    ``certificate_authority`` means the system's roots.
    """

    server: str
    login_source: logins.LoginSource
    certificate_authority: logins.Material = dataclasses.field(default_factory=logins.Material)
    tls_server_name: str = ""
    is_insecure: bool = False
    proxy_url: str = dataclasses.field(default="", repr=False)
    namespace: str = ""
    impersonation: Impersonation = Impersonation()


def load(
    path: pathlib.Path | None = None,
    context: str | None = None,
    environ: Mapping[str, str] = os.environ,
    *,
    overrides: Overrides | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> ClusterConfig:
    """The configuration that the usual rules find.

    Raises UsageError when there is none or it contradicts itself, CredentialError when a file
    that it names cannot be read.
    """
    overrides = overrides or Overrides()
    files = kubeconfig.find_files(path, environ)
    if not files and "KUBERNETES_SERVICE_HOST" in environ and not overrides.server:
        return in_cluster(environ, clock=clock)
    if not files and not overrides.server:
        raise errors.UsageError(
            "no Kubernetes configuration found: name a file with --kubeconfig or KUBECONFIG"
        )
    merged = kubeconfig.merge([kubeconfig.read(file) for file in files])
    return _Reader(merged, overrides, environ=environ, clock=clock).cluster_config(context or "")


def contexts(
    path: pathlib.Path | None = None, environ: Mapping[str, str] = os.environ
) -> tuple[str, ...]:
    """Names of all contexts, sorted, as shell completion wants them; raises UsageError."""
    merged = kubeconfig.merge(
        [kubeconfig.read(file) for file in kubeconfig.find_files(path, environ)]
    )
    return tuple(sorted(merged["contexts"]))


def in_cluster(
    environ: Mapping[str, str] = os.environ,
    *,
    folder: pathlib.Path = SERVICE_ACCOUNT_FOLDER,
    clock: Callable[[], float] = time.monotonic,
) -> ClusterConfig:
    """The configuration of a Pod, whose token file is read again as the kubelet renews it.

    Raises UsageError outside of a Pod, CredentialError when its token cannot be read.
    """
    host = environ.get("KUBERNETES_SERVICE_HOST", "")
    port = environ.get("KUBERNETES_SERVICE_PORT", "")
    if not host or not port:
        raise errors.UsageError(
            "not running in a Pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set"
        )
    token = logins.Material(path=folder / "token", clock=clock)
    token.read()
    authority = folder / "ca.crt"
    namespace = folder / "namespace"
    return ClusterConfig(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        login_source=logins.MaterialLogin(token=token),
        certificate_authority=logins.Material(
            path=authority if authority.exists() else None, clock=clock
        ),
        namespace=namespace.read_text().strip() if namespace.exists() else "",
    )


class _Reader:
    """Turns the merged document into a configuration."""

    def __init__(
        self,
        merged: Document,
        overrides: Overrides,
        *,
        environ: Mapping[str, str],
        clock: Callable[[], float],
    ) -> None:
        self._merged = merged
        self._overrides = overrides
        self._environ = environ
        self._clock = clock

    def cluster_config(self, wanted: str) -> ClusterConfig:
        overrides = self._overrides
        name = wanted or self._merged["current-context"]
        context = self._entry("contexts", name, default=not wanted).value if name else {}
        cluster_name = overrides.cluster or str(context.get("cluster") or "")
        user_name = overrides.user or str(context.get("user") or "")
        cluster = self._entry(
            "clusters", cluster_name, default=bool(overrides.server) or not cluster_name
        )
        user = self._entry("users", user_name, default=not user_name)
        server = overrides.server or str(cluster.value.get("server") or "")
        if not server:
            raise errors.UsageError(
                f'the kubeconfig has no server for context "{name}": choose one with --context'
                if name
                else "the kubeconfig has no current context: choose one with --context"
            )
        authority, is_insecure = self._trust(cluster, cluster_name)
        return ClusterConfig(
            server=_normal_server(server),
            login_source=users.User(
                name=user_name, entry=user, cluster=cluster, server=server, clock=self._clock
            ).login_source(self._flags(), environ=self._environ),
            certificate_authority=authority,
            tls_server_name=overrides.tls_server_name
            or str(cluster.value.get("tls-server-name") or ""),
            is_insecure=is_insecure,
            proxy_url=str(cluster.value.get("proxy-url") or ""),
            namespace=overrides.namespace or str(context.get("namespace") or ""),
            impersonation=self._impersonation(user.value, user_name),
        )

    def _entry(self, section: str, name: str, *, default: bool) -> kubeconfig.Entry:
        entry: kubeconfig.Entry | None = self._merged[section].get(name)
        if entry is None:
            if not default:
                raise errors.UsageError(f'{section[:-1]} "{name}" does not exist in the kubeconfig')
            return kubeconfig.Entry({}, pathlib.Path())
        return entry

    def _trust(self, cluster: kubeconfig.Entry, name: str) -> tuple[logins.Material, bool]:
        overrides = self._overrides
        owner = f'cluster "{name}"'
        authority = users.material(cluster, "certificate-authority", owner=owner, clock=self._clock)
        is_insecure = overrides.is_insecure or bool(cluster.value.get("insecure-skip-tls-verify"))
        if overrides.certificate_authority:
            path = pathlib.Path(overrides.certificate_authority)
            authority = logins.Material(path=path, clock=self._clock)
        if is_insecure and authority:
            if not overrides.is_insecure:
                raise errors.UsageError(
                    f'cluster "{name}": certificate-authority and insecure-skip-tls-verify '
                    "exclude each other"
                )
            authority = logins.Material()
        return authority, is_insecure

    def _flags(self) -> users.Flags:
        overrides = self._overrides
        return users.Flags(
            token=overrides.token,
            client_certificate=overrides.client_certificate,
            client_key=overrides.client_key,
        )

    def _impersonation(self, user: Document, name: str) -> Impersonation:
        given = self._overrides.impersonation
        if given.user:
            return given
        extra = user.get("as-user-extra") or {}
        found = Impersonation(
            user=str(user.get("as") or ""),
            uid=str(user.get("as-uid") or ""),
            groups=tuple(str(group) for group in user.get("as-groups") or ()),
            extra=tuple((str(key), tuple(map(str, values or ()))) for key, values in extra.items()),
        )
        # Whoever asks for less than their own rights must not be given all of them.
        if given != Impersonation():
            raise errors.UsageError(
                "--as-group, --as-uid and --as-user-extra need a user to act as: add --as"
            )
        if found != Impersonation() and not found.user:
            raise errors.UsageError(
                f'user "{name}": as-uid, as-groups and as-user-extra need a user to act as'
            )
        return found


def _normal_server(server: str) -> str:
    """``https://`` unless a scheme is given, no slash at the end; raises UsageError."""
    text = server if "://" in server else f"https://{server}"
    parts = urllib.parse.urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise errors.UsageError(f'"{server}" is not the address of an API server')
    if parts.username is not None:
        raise errors.UsageError("the address of the API server must not hold a password")
    return text.rstrip("/")
