"""Who may be contacted from the place a registry is at.

A name is judged by what it resolves to, at the moment of the connection, so that a name that
changes its mind between check and use gains nothing. The registry's own kind is the least
privileged one its name was ever seen to have: one answer of its DNS opens no private network.
"""

import enum
import ipaddress
import socket

from aiohttp import abc

from ocisource import errors
from ocisource.net import address
from ocisource.oci.hosts import names


class Role(enum.Enum):
    """Why a host is contacted; decides what it is allowed to be, and what it is shown."""

    HOME = "registry"
    REALM = "token service"
    ELSEWHERE = "redirect"
    PROXY = "proxy"


# Least privileged first.
_RANKS = (
    address.Kind.PUBLIC,
    address.Kind.NAME,
    address.Kind.LINK_LOCAL,
    address.Kind.PRIVATE,
    address.Kind.LOOPBACK,
)


class Guard:
    """Knows where the registry is, and judges the places it names."""

    def __init__(self, host: str) -> None:
        self._name = address.split_port(host)[0]
        self._kind = address.kind_of_host(self._name)
        self._is_literal = address.literal(self._name) is not None

    @property
    def registry_kind(self) -> address.Kind:
        """Where the registry is; NAME until its name has been resolved."""
        return self._kind

    def check_host(self, host: str, *, role: Role) -> None:
        """Judge a bare host as written; raises ForbiddenAddressError."""
        self._check(address.kind_of_host(host), host=host, role=role)

    def check_address(self, text: str, *, host: str, role: Role) -> None:
        """Judge the address a host resolved to; raises ForbiddenAddressError."""
        self._check(address.kind_of(ipaddress.ip_address(text)), host=host, role=role)

    def note(self, texts: list[str]) -> None:
        """Take note of the addresses that the registry's own name resolved to."""
        if self._is_literal:
            return
        kinds = {address.kind_of(ipaddress.ip_address(text)) for text in texts}
        seen = {kind for kind in kinds | {self._kind} if kind is not address.Kind.NAME}
        self._kind = next((kind for kind in _RANKS if kind in seen), self._kind)

    def _check(self, kind: address.Kind, *, host: str, role: Role) -> None:
        is_own = role in {Role.HOME, Role.PROXY}
        registry = address.kind_of_host(host) if is_own else self._kind
        address.check(
            kind,
            registry=registry,
            is_named_by_registry=not is_own,
            where=f"{host} ({role.value} of {self._name})" if not is_own else host,
        )


class Resolver(abc.AbstractResolver):
    """Resolves names for one role, and keeps back the addresses that must not be contacted."""

    def __init__(self, guard: Guard, known: names.Names, *, role: Role) -> None:
        self._guard = guard
        self._role = role
        self._names = known

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[abc.ResolveResult]:
        """Allowed addresses of a host; raises ForbiddenAddressError (only others), OSError."""
        found = await self._names.look_up(host, port, family)
        allowed = []
        refused: errors.ForbiddenAddressError | None = None
        for each in found:
            try:
                self._guard.check_address(_bare(each["host"]), host=host, role=self._role)
            except errors.ForbiddenAddressError as error:
                refused = error
            else:
                allowed.append(each)
        if not allowed and refused is not None:
            raise refused
        if self._role is Role.HOME:
            self._guard.note([_bare(each["host"]) for each in found])
        return allowed

    async def close(self) -> None:
        """Nothing is held."""


def _bare(text: str) -> str:
    return text.partition("%")[0]  # fe80::1%eth0
