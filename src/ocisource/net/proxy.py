"""Proxies: of one object (a Secret) or of the process (the environment).

A proxy is ``http``, ``https`` or ``socks5``; user and password stand in the Secret's own keys or in
the address. The environment is read as Go's ``httpproxy`` reads it: ``HTTPS_PROXY``, ``HTTP_PROXY``
and ``NO_PROXY``, upper case first; loopback is never sent through it.
"""

import dataclasses
import ipaddress
import os
import urllib.parse
from collections.abc import Mapping
from typing import Self

from ocisource import errors
from ocisource.net import address as addresses
from ocisource.net import redact

SCHEMES = ("http", "https", "socks5")
ADDRESS_MAX = 2048  # characters of a proxy address

_DEFAULT_PORTS = {"http": 80, "https": 443, "socks5": 1080}
_ADDRESS_KEY, _USERNAME_KEY, _PASSWORD_KEY = "address", "username", "password"


@dataclasses.dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy: ``address`` is ``scheme://host:port`` without userinfo."""

    address: str
    username: str = ""
    password: str = dataclasses.field(default="", repr=False)

    @classmethod
    def parse(cls, address: str, username: str = "", password: str = "") -> Self:
        """Read an address; raises CredentialError.

        A userinfo in the address counts if no username is given; a password without a username
        does not count.
        """
        if not address:
            raise errors.CredentialError("proxy address is empty")
        if len(address) > ADDRESS_MAX:
            raise errors.CredentialError(
                f"proxy URL exceeds maximum length of {ADDRESS_MAX} characters"
            )
        try:
            parts, port = _split(address)
        except ValueError as error:
            raise errors.CredentialError(
                f"failed to parse proxy address '{redact.url(address)}': {error}"
            ) from None
        if not username:
            username = urllib.parse.unquote(parts.username or "")
            password = urllib.parse.unquote(parts.password or "")
        host = parts.hostname or ""
        host = f"[{host}]" if ":" in host else host
        return cls(f"{parts.scheme}://{host}:{port}", username, password if username else "")

    @property
    def scheme(self) -> str:
        """``http``, ``https`` or ``socks5``."""
        return self.address.partition(":")[0]

    @property
    def host(self) -> str:
        """The proxy's host, without brackets."""
        return urllib.parse.urlsplit(self.address).hostname or ""

    @property
    def port(self) -> int:
        """The proxy's port."""
        return urllib.parse.urlsplit(self.address).port or _DEFAULT_PORTS[self.scheme]

    @property
    def url_with_credentials(self) -> str:
        """The address with userinfo, for the transport alone: never for a log or a message."""
        if not self.username:
            return self.address
        userinfo = urllib.parse.quote(self.username, safe="")
        if self.password:
            userinfo += ":" + urllib.parse.quote(self.password, safe="")
        return self.address.replace("://", f"://{userinfo}@", 1)

    def __repr__(self) -> str:
        return f"Proxy({self.address!r}, has_credentials={bool(self.username)})"

    __str__ = __repr__


def _split(address: str) -> tuple[urllib.parse.SplitResult, int]:
    """Parts and port of an address; raises ValueError, or CredentialError for the scheme."""
    if any(char.isspace() or not char.isprintable() for char in address):
        raise ValueError("invalid control character or space in URL")
    scheme, colon, rest = address.partition(":")
    if not colon:
        scheme = ""
    elif not (scheme[:1].isalpha() and scheme.isascii()):
        raise ValueError("first path segment in URL cannot contain colon")
    if scheme.lower() not in SCHEMES:
        raise errors.CredentialError(
            f"proxy URL must use one of the supported schemes ({', '.join(SCHEMES)}), "
            f"got '{redact.foreign(scheme)}'"
        )
    if not rest.startswith("//"):
        raise ValueError("no host in URL")
    try:
        parts = urllib.parse.urlsplit(address)
        port = parts.port or _DEFAULT_PORTS[parts.scheme]
    except ValueError:
        # The library's text quotes the part it does not like, which may be a password.
        raise ValueError("invalid host or port") from None
    if not parts.hostname:
        raise ValueError("no host in URL")
    return parts, port


def from_secret_data(data: Mapping[str, bytes], *, secret: str) -> Proxy:
    """The proxy of a ``proxySecretRef`` Secret; ``secret`` is its ``{ns}/{name}`` for messages.

    Keys ``address`` (required), ``username``, ``password``. Raises CredentialError.
    """
    if _ADDRESS_KEY not in data:
        raise errors.CredentialError(f"secret '{secret}': key '{_ADDRESS_KEY}' not found")
    try:
        address, username, password = (
            data.get(key, b"").decode().strip("\r\n")
            for key in (_ADDRESS_KEY, _USERNAME_KEY, _PASSWORD_KEY)
        )
    except UnicodeDecodeError:
        raise errors.CredentialError(f"secret '{secret}': a value is not UTF-8 text") from None
    try:
        return Proxy.parse(address, username, password)
    except errors.CredentialError as error:
        raise errors.CredentialError(f"secret '{secret}': {error}") from None


def from_environment(url: str, *, environ: Mapping[str, str] | None = None) -> Proxy | None:
    """The proxy that the environment asks for a URL; None for a direct connection.

    ``environ`` defaults to the process's own. Raises CredentialError for a variable that names no
    usable proxy.
    """
    variables = os.environ if environ is None else environ
    parts = urllib.parse.urlsplit(url)
    host, port = parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    name = "HTTPS_PROXY" if parts.scheme == "https" else "HTTP_PROXY"
    value = _variable(variables, name)
    if name == "HTTP_PROXY" and variables.get("REQUEST_METHOD"):
        return None  # under CGI this variable comes from the client ("httpoxy")
    if not value or _is_direct(host, port, no_proxy=_variable(variables, "NO_PROXY")):
        return None
    # Curl and Go take "host:port" for an HTTP proxy, and socks5h for what socks5 means here.
    value = value if "://" in value else f"http://{value}"
    if value.startswith("socks5h://"):
        value = value.replace("socks5h", "socks5", 1)
    try:
        return Proxy.parse(value)
    except errors.CredentialError as error:
        raise errors.CredentialError(f"environment variable {name}: {error}") from None


def _variable(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name) or environ.get(name.lower()) or ""


def _is_direct(host: str, port: int, *, no_proxy: str) -> bool:
    """Whether NO_PROXY, or being loopback, takes a host out of the proxy's way."""
    name = host.lower().rstrip(".")
    address = addresses.literal(name)
    if name == "localhost" or (address is not None and address.is_loopback):
        return True
    return any(
        _is_exempt(name, port, address=address, rule=rule.strip().lower())
        for rule in no_proxy.split(",")
        if rule.strip()
    )


def _is_exempt(name: str, port: int, *, address: addresses.IPAddress | None, rule: str) -> bool:
    """One entry of NO_PROXY: ``*``, a CIDR, an address or a domain, the latter two with a port."""
    if rule == "*":
        return True
    if "/" in rule:
        try:
            return address is not None and address in ipaddress.ip_network(rule, strict=False)
        except ValueError:
            return False
    literal = addresses.literal(rule)
    if literal is not None:  # before the port is looked for: IPv6 has colons of its own
        return address == literal
    try:
        rule, rule_port = addresses.split_port(rule)
    except ValueError:
        return False
    if rule_port is not None and rule_port != port:
        return False
    if (literal := addresses.literal(rule)) is not None:
        return address == literal
    # "example.com" is the name and all below it, ".example.com" and "*.example.com" only below.
    below = rule.removeprefix("*") if rule.startswith("*.") else rule
    return (
        name.endswith(below)
        if below.startswith(".")
        else (name == below or name.endswith("." + below))
    )
