"""Keychains that log in to a cloud when the registry is first asked.

Example::

    clouds = logins.Clouds()
    keychain = clouds.keychain("aws")
    access = registry.Access(keychain=keychain)
    await clouds.close()
"""

import dataclasses
import hashlib
import os
import time
import typing
from collections.abc import Callable, Hashable, Mapping

from ocisource import errors
from ocisource.oci.authentication import credentials
from ocisource.oci.grammar import reference
from ocisource.oci.providers import aws, azure, calls, gcp, identity, tokens

NAMES: typing.Final = (aws.AWS.name, azure.Azure.name, gcp.GCP.name)
_SOCKS = "socks5"


class Clouds:
    """All clouds of a process: their libraries' threads and the credentials they issued.

    ``has_shell`` lets a provider run its cloud's command line tool (for our own command line).
    """

    def __init__(
        self,
        *,
        cache: tokens.TokenCache | None = None,
        deadline: float = calls.DEADLINE,
        environ: Mapping[str, str] = os.environ,
        google: gcp.Endpoints | None = None,
        has_shell: bool = False,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.cache = tokens.TokenCache() if cache is None else cache  # an empty one is false
        # Each cloud has its own: one that hangs does not hold up the others.
        for_aws, for_azure, for_gcp = self._calls = tuple(
            calls.Calls(deadline=deadline, environ=environ) for _ in NAMES
        )
        providers: tuple[identity.Provider, ...] = (
            aws.AWS(for_aws, wall),
            azure.Azure(for_azure, wall, environ, has_shell),
            gcp.GCP(for_gcp, wall, environ, google or gcp.Endpoints()),
        )
        self._providers = {each.name: each for each in providers}

    def keychain(
        self,
        provider: str,
        *,
        route: identity.Route = identity.DIRECT,
        account: identity.AccountSource | None = None,
        owner: tokens.Owner | None = None,
    ) -> "CloudKeychain":
        """The login of a cloud by its name; costs nothing. Raises CredentialError."""
        found = self._providers.get(provider)
        if found is None:
            raise errors.CredentialError(
                f"unknown provider '{provider}', must be one of: generic, {', '.join(NAMES)}"
            )
        return CloudKeychain(found, route, account, self.cache, owner or tokens.Owner())

    async def close(self) -> None:
        """End logins under way; forget all credentials."""
        await self.cache.close()
        for each in self._calls:
            each.close()


@dataclasses.dataclass(frozen=True, slots=True)
class CloudKeychain:
    """One tenant's login to one cloud; a RenewableKeychain. Equal ones get equal credentials."""

    provider: identity.Provider
    route: identity.Route
    account: identity.AccountSource | None
    cache: tokens.TokenCache = dataclasses.field(compare=False, repr=False)
    owner: tokens.Owner = dataclasses.field(compare=False)

    @property
    def fingerprint(self) -> str:
        """As of Keychain: of the way to the credentials, which change by themselves."""
        parts = (self.provider.name, repr(self.account), repr(self.route.proxy))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    async def credential(self, repository: reference.Repository) -> credentials.Credential | None:
        """As of Keychain; raises CredentialError with the cloud's own words."""
        key, fetch = await self._prepared(repository)
        return await self.cache.get(key, fetch, owner=self.owner)

    async def renewed(
        self, repository: reference.Repository, stale: credentials.Credential
    ) -> credentials.Credential | None:
        """As of RenewableKeychain; raises CredentialError."""
        key, fetch = await self._prepared(repository)
        return await self.cache.renewed(key, fetch, stale=stale, owner=self.owner)

    async def _prepared(self, repository: reference.Repository) -> tuple[Hashable, tokens.Fetch]:
        """What a credential is kept under, and how it is fetched; raises CredentialError."""
        target = self.provider.target(repository.host)
        if self.route.proxy is not None and self.route.proxy.scheme == _SOCKS:
            raise errors.CredentialError(
                f"{identity.ACCESS_TOKEN}: a socks5 proxy cannot be used for cloud logins; "
                "use an http or https proxy, or name a Secret in spec.secretRef"
            )
        account: identity.Account | None = None
        who = ""
        if self.account is not None:
            with calls.stage(identity.ACCESS_TOKEN):
                account = await self.account.read()
                with calls.stage(
                    f"failed to get provider identity from service account '{account}' annotations"
                ):
                    who = self.provider.who(account)
        key = (self.provider.name, who, str(account or ""), target, self.route)

        async def fetch() -> tokens.Issued:
            return await self.provider.issue(target, route=self.route, account=account)

        return key, fetch
