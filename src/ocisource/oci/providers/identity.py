"""As whom a cloud is asked: the process itself, or the ServiceAccount that an object names."""

import dataclasses
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from ocisource import errors
from ocisource.net import proxy as proxies
from ocisource.net import tls as tls_identities
from ocisource.oci.providers import calls, tokens

ACCESS_TOKEN = "failed to get access token for artifact registry"  # noqa: S105
REGISTRY_CREDENTIALS = "failed to create artifact registry credentials"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How a cloud is reached: the object's proxy; its TLS identity counts at its registry alone."""

    proxy: proxies.Proxy | None = None
    tls: tls_identities.TLSIdentity | None = None


DIRECT = Route()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A ServiceAccount as it is now; ``token`` issues its token for an audience."""

    namespace: str
    name: str
    annotations: Mapping[str, str]
    token: Callable[[str], Awaitable[str]] = dataclasses.field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    async def issued(self, audience: str) -> str:
        """A token of the account for an audience; raises CredentialError."""
        with calls.stage(ACCESS_TOKEN):
            return await self.token(audience)

    def annotation(self, key: str, *, pattern: str, is_required: bool = True) -> str:
        """An annotation's value, "" if it may be absent; raises CredentialError."""
        value = self.annotations.get(key, "")
        if not value and not is_required:
            return ""
        if re.fullmatch(pattern, value) is None:
            raise errors.CredentialError(
                f"invalid {key} annotation: '{value}'. must match {pattern}"
            )
        return value


class AccountSource(Protocol):
    """Reads a ServiceAccount; equal sources read the same one."""

    async def read(self) -> Account:
        """The account as it is now; raises CredentialError."""
        ...

    def __hash__(self) -> int: ...


class Provider(Protocol):
    """One cloud."""

    @property
    def name(self) -> str:
        """As in ``spec.provider``."""
        ...

    def target(self, host: str) -> object:
        """What a credential for this host is issued for (hashable); raises CredentialError."""
        ...

    def who(self, account: Account) -> str:
        """Who an account is in this cloud; raises CredentialError."""
        ...

    async def issue(
        self, target: object, *, route: Route, account: Account | None
    ) -> tokens.Issued:
        """A credential for a target, as the account or as ourselves; raises CredentialError."""
        ...


def token_stage(account: Account | None) -> str:
    """What is said before a cloud's refusal of an access token."""
    whom = "the controller" if account is None else f"service account '{account}'"
    return f"{ACCESS_TOKEN}: failed to create provider access token for {whom}"
