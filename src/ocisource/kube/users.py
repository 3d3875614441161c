"""A kubeconfig's user as a login source: tokens, passwords, client certificates, exec plugins.

What wins, as in client-go: a flag; then a ``tokenFile``, a ``token`` or a password; then an exec
plugin; a client certificate goes along with any of the first three.
"""

import base64
import binascii
import dataclasses
import pathlib
import typing
from collections.abc import Callable, Mapping

from ocisource import errors
from ocisource.kube import execplugin, kubeconfig, logins

Document = dict[str, typing.Any]

_EXEC_EXTENSION: typing.Final = "client.authentication.k8s.io/exec"
# What of a cluster a plugin may be told of, beside its server and its CA.
_TOLD: typing.Final = (
    "tls-server-name",
    "insecure-skip-tls-verify",
    "proxy-url",
    "disable-compression",
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """Credentials named on the command line; empty values say nothing."""

    token: str = dataclasses.field(default="", repr=False)
    client_certificate: str = ""
    client_key: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A named user of the merged kubeconfig, with the cluster it logs in to."""

    name: str
    entry: kubeconfig.Entry
    cluster: kubeconfig.Entry
    server: str
    clock: Callable[[], float]

    def login_source(self, flags: Flags, *, environ: Mapping[str, str]) -> logins.LoginSource:
        """The source of this user's logins; raises UsageError and CredentialError."""
        value = self.entry.value
        if value.get("auth-provider"):
            raise errors.UsageError(
                f'user "{self.name}": auth-provider is no longer part of Kubernetes; '
                "use an exec plugin instead"
            )
        is_given = flags.token or flags.client_certificate
        is_static = value.get("token") or value.get("tokenFile") or value.get("username")
        if value.get("exec") and not (is_given or is_static):
            plugin = execplugin.Plugin.parse(
                value["exec"],
                user=self.name,
                folder=self.entry.folder,
                cluster_info=self._cluster_info(),
            )
            return execplugin.ExecLogin(plugin, environ=environ)
        certificate, key = self._certificate(flags)
        return logins.MaterialLogin(
            token=self._token(flags),
            username=str(value.get("username") or ""),
            password=str(value.get("password") or ""),
            certificate=certificate,
            key=key,
        )

    def _token(self, flags: Flags) -> logins.Material:
        if flags.token:
            return logins.Material(data=flags.token.encode())
        if path := self.entry.value.get("tokenFile"):  # a file wins over a token
            found = logins.Material(path=self.entry.folder / str(path), clock=self.clock)
            found.read()
            return found
        return logins.Material(data=str(self.entry.value.get("token") or "").encode())

    def _certificate(self, flags: Flags) -> tuple[logins.Material, logins.Material]:
        owner = f'user "{self.name}"'
        certificate = material(self.entry, "client-certificate", owner=owner, clock=self.clock)
        key = material(self.entry, "client-key", owner=owner, clock=self.clock)
        if flags.client_certificate:
            certificate, key = (
                logins.Material(path=pathlib.Path(path), clock=self.clock)
                for path in (flags.client_certificate, flags.client_key)
            )
        if bool(certificate) != bool(key):
            raise errors.UsageError(f"{owner}: a client certificate and its key belong together")
        return certificate, key

    def _cluster_info(self) -> Document:
        """``spec.cluster`` of an ExecCredential, for plugins that ask for it."""
        value = self.cluster.value
        info: Document = {"server": self.server}
        info |= {key: value[key] for key in _TOLD if value.get(key)}
        authority = material(
            self.cluster, "certificate-authority", owner="cluster", clock=self.clock
        )
        if authority:
            info["certificate-authority-data"] = base64.b64encode(authority.read()).decode()
        for extension in value.get("extensions") or ():
            if extension.get("name") == _EXEC_EXTENSION:
                info["config"] = extension.get("extension")
        return info


def material(
    entry: kubeconfig.Entry, key: str, *, owner: str, clock: Callable[[], float]
) -> logins.Material:
    """``{key}-data`` in base64, which wins, or the file named by ``{key}``, or nothing.

    Raises UsageError for what is not base64, CredentialError for a file that cannot be read.
    """
    if data := entry.value.get(f"{key}-data"):
        try:
            decoded = base64.b64decode(str(data), validate=True)
            return logins.Material(data=decoded, where=f"{owner}: {key}-data")
        except (binascii.Error, ValueError) as exc:
            raise errors.UsageError(f"{owner}: {key}-data is not base64") from exc
    if path := entry.value.get(key):
        found = logins.Material(path=entry.folder / str(path), clock=clock)
        found.read()
        return found
    return logins.Material()
