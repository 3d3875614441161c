"""Where the cluster is and who we are there: kubeconfig files, and the Pod we may run in.

Files as ``kubeconfig`` finds them; without any, the service account of the Pod. Flags
(``Overrides``) win over files. Paths in a file are relative to that file.
"""

import base64
import binascii
import dataclasses
import os
import pathlib
import time
import typing
import urllib.parse
from collections.abc import Callable, Mapping

from ocisource import errors
from ocisource.kube import execplugin, kubeconfig, logins

SERVICE_ACCOUNT_FOLDER = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")

Document = dict[str, typing.Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Impersonation:
    """Whom to act as (``as``, ``as-groups``, ``as-uid`` in a kubeconfig)."""

    user: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()


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
            login_source=self._logins(user, user_name, cluster=cluster, server=server),
            certificate_authority=authority,
            tls_server_name=overrides.tls_server_name
            or str(cluster.value.get("tls-server-name") or ""),
            is_insecure=is_insecure,
            proxy_url=str(cluster.value.get("proxy-url") or ""),
            namespace=overrides.namespace or str(context.get("namespace") or ""),
            impersonation=self._impersonation(user.value),
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
        authority = self._material(cluster, "certificate-authority", "cluster", name)
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

    def _logins(
        self, user: kubeconfig.Entry, name: str, *, cluster: kubeconfig.Entry, server: str
    ) -> logins.LoginSource:
        overrides, value = self._overrides, user.value
        if value.get("auth-provider"):
            raise errors.UsageError(
                f'user "{name}": auth-provider is no longer part of Kubernetes; '
                "use an exec plugin instead"
            )
        if value.get("exec") and not (overrides.token or overrides.client_certificate):
            info = self._cluster_info(cluster, server)
            plugin = execplugin.Plugin.parse(
                value["exec"], user=name, folder=user.folder, cluster_info=info
            )
            return execplugin.ExecLogin(plugin, environ=self._environ)
        token = self._token(user, name)
        certificate = self._material(user, "client-certificate", "user", name)
        key = self._material(user, "client-key", "user", name)
        if overrides.client_certificate:
            certificate = self._file(overrides.client_certificate)
            key = self._file(overrides.client_key)
        if bool(certificate) != bool(key):
            raise errors.UsageError(
                f'user "{name}": a client certificate and its key belong together'
            )
        return logins.MaterialLogin(
            token=token,
            username=str(value.get("username") or ""),
            password=str(value.get("password") or ""),
            certificate=certificate,
            key=key,
        )

    def _token(self, user: kubeconfig.Entry, name: str) -> logins.Material:
        if self._overrides.token:
            return logins.Material(data=self._overrides.token.encode())
        if path := user.value.get("tokenFile"):  # a file wins over a token, as in client-go
            material = logins.Material(path=user.folder / str(path), clock=self._clock)
            material.read()
            return material
        del name
        return logins.Material(data=str(user.value.get("token") or "").encode())

    def _material(self, entry: kubeconfig.Entry, key: str, what: str, name: str) -> logins.Material:
        """``{key}-data`` in base64 wins over the file named by ``{key}``."""
        if data := entry.value.get(f"{key}-data"):
            try:
                return logins.Material(data=base64.b64decode(str(data), validate=True))
            except (binascii.Error, ValueError) as exc:
                raise errors.UsageError(f'{what} "{name}": {key}-data is not base64') from exc
        if path := entry.value.get(key):
            material = logins.Material(path=entry.folder / str(path), clock=self._clock)
            material.read()
            return material
        return logins.Material()

    def _file(self, path: str) -> logins.Material:
        return logins.Material(path=pathlib.Path(path), clock=self._clock)

    def _cluster_info(self, cluster: kubeconfig.Entry, server: str) -> Document:
        """``spec.cluster`` of an ExecCredential, for plugins that ask for it."""
        value = cluster.value
        info: Document = {"server": server}
        for source, target in (
            ("tls-server-name", "tls-server-name"),
            ("insecure-skip-tls-verify", "insecure-skip-tls-verify"),
            ("proxy-url", "proxy-url"),
            ("disable-compression", "disable-compression"),
        ):
            if value.get(source):
                info[target] = value[source]
        authority = self._material(cluster, "certificate-authority", "cluster", "")
        if authority:
            info["certificate-authority-data"] = base64.b64encode(authority.read()).decode()
        for extension in value.get("extensions") or ():
            if extension.get("name") == "client.authentication.k8s.io/exec":
                info["config"] = extension.get("extension")
        return info

    def _impersonation(self, user: Document) -> Impersonation:
        if self._overrides.impersonation.user:
            return self._overrides.impersonation
        return Impersonation(
            user=str(user.get("as") or ""),
            uid=str(user.get("as-uid") or ""),
            groups=tuple(str(group) for group in user.get("as-groups") or ()),
        )


def _normal_server(server: str) -> str:
    """``https://`` unless a scheme is given, no slash at the end; raises UsageError."""
    text = server if "://" in server else f"https://{server}"
    parts = urllib.parse.urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise errors.UsageError(f'"{server}" is not the address of an API server')
    if parts.username is not None:
        raise errors.UsageError("the address of the API server must not hold a password")
    return text.rstrip("/")
