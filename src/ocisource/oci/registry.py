"""The registry client: every registry host, every tenant, one object.

:class:`Registries` owns what outlives a fetch: connection pools and tokens (one pool per host, TLS
identity, proxy, insecure and credential, so that tenants do not mix), the gates (one per host and
credential), tag lists of the last few seconds, and the probes in flight. A
:class:`RemoteRepository` is a cheap view of it for one repository and one tenant.

Example::

    registries = registry.Registries()
    remote = registries.repository(reference.Repository.parse_url(url), registry.Access())
    descriptor = await remote.resolve("latest")
    await registries.close()
"""

import asyncio
import contextlib
import dataclasses
import random
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Coroutine,
)
from typing import Any, NoReturn, Protocol, TypeVar, runtime_checkable

from ocisource import digest as digests
from ocisource import errors, metrics
from ocisource.net import proxy as proxies
from ocisource.net import redact
from ocisource.net.tls import TLSIdentity
from ocisource.oci import blobs, flights, limits, lookup, taglists, upload
from ocisource.oci.authentication import credentials
from ocisource.oci.grammar import reference
from ocisource.oci.grammar.manifest import Descriptor
from ocisource.oci.hosts import connections, failures
from ocisource.oci.transport import exchange, pools

T = TypeVar("T")
RegistrySettings = limits.RegistrySettings

_PULL, _PUSH = "pull", "pull,push"
_NAMEABLE = (errors.RegistryError, errors.TransportError, errors.ContentError)
_RENEWABLE_STATUSES = frozenset({400, 401, 403})


@runtime_checkable
class RenewableKeychain(credentials.Keychain, Protocol):
    """A keychain whose credentials expire (cloud logins), and can be had anew."""

    async def renewed(
        self, repository: reference.Repository, stale: credentials.Credential
    ) -> credentials.Credential | None:
        """Another credential than ``stale``, which was refused; None if there is none."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How one tenant reaches registries.

    ``is_insecure`` allows plain HTTP, and without ``tls`` any server certificate; ``proxy`` goes
    before the environment's.
    """

    keychain: credentials.Keychain = credentials.ANONYMOUS
    tls: TLSIdentity | None = None
    proxy: proxies.Proxy | None = None
    is_insecure: bool = False


class Registries:
    """All registries this process speaks to; close() it at the end.

    ``clock`` is monotonic and ``wall`` the time since the epoch, both in seconds; ``observed``
    counts the answers that come.
    """

    def __init__(
        self,
        *,
        settings: limits.RegistrySettings = limits.DEFAULT,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        rng: random.Random | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        observed: metrics.Metrics | None = None,
    ) -> None:
        self.pools = pools.Pools(
            settings=settings,
            clock=clock,
            wall=wall,
            rng=rng or random.SystemRandom(),
            sleep=sleep,
            observed=observed,
        )
        self.probes: flights.Flights[Any] = flights.Flights()
        self.tag_lists = taglists.TagLists(lifetime=settings.tags_lifetime, clock=clock)

    def repository(
        self, repository: reference.Repository, access: Access | None = None
    ) -> "RemoteRepository":
        """A view of one repository for one tenant; costs nothing."""
        return RemoteRepository(self, repository, access or Access())

    async def close(self) -> None:
        """End probes, close all connections."""
        await self.probes.close()
        await self.tag_lists.close()
        await self.pools.close()


class RemoteRepository:
    """One repository as one tenant sees it.

    All methods raise NotFoundError, UnauthorizedError, TooManyRequestsError (with `retry_after`),
    RegistryError, TransportError and its leaves, and CredentialError. The texts of all but the last
    name host, repository and reference.
    """

    __slots__ = ("_access", "_credential", "_has_credential", "_registries", "_repository")

    def __init__(
        self, registries: Registries, repository: reference.Repository, access: Access
    ) -> None:
        self._registries = registries
        self._repository = repository
        self._access = access
        self._credential: credentials.Credential | None = None
        self._has_credential = False

    def resolve(self, tag: str) -> Coroutine[Any, Any, Descriptor]:
        """What a tag points to: one HEAD, shared with whoever asks the same at the same time.

        `size` is 0 if the registry does not say it.
        """
        return self._look_up(tag)

    def head(self, digest: digests.Digest) -> Coroutine[Any, Any, Descriptor]:
        """Whether a digest is there for this tenant: one HEAD."""
        return self._look_up(str(digest))

    async def tags(self) -> tuple[str, ...]:
        """All tags in the registry's order; a list of the last few seconds is used again."""
        return await self._renewing(self._tags)

    async def manifest(self, digest: digests.Digest) -> tuple[Descriptor, bytes]:
        """Descriptor and bytes of a manifest; raises ContentError unless they match the digest."""

        async def work(pool: pools.Pool) -> tuple[Descriptor, bytes]:
            return await lookup.fetch(
                pool.transport, self._repository, str(digest), scope=self._scope(_PULL)
            )

        return await self._renewing(work, str(digest))

    async def blob(self, descriptor: Descriptor) -> AsyncGenerator[bytes, None]:
        """The blob's bytes; raises ContentError at the end unless size and sha256 match.

        Nothing may be used before the iterator has ended.
        """
        is_renewed = False
        while True:
            pool = await self._pool()
            has_started = False
            chunks = blobs.stream(
                pool.transport, self._repository, descriptor, scope=self._scope(_PULL)
            )
            try:
                async with contextlib.aclosing(chunks) as stream:
                    async for chunk in stream:
                        has_started = True
                        yield chunk
            except _NAMEABLE as error:
                if has_started or is_renewed or not await self._renew(error):
                    self._raise_named(error, str(descriptor.digest))
                is_renewed = True
            else:
                return

    async def has_blob(self, descriptor: Descriptor) -> bool:
        """Whether the registry holds a blob: one HEAD, with the right to push."""

        async def work(pool: pools.Pool) -> bool:
            return await upload.has_blob(
                pool.transport, self._repository, descriptor, scope=self._scope(_PUSH)
            )

        return await self._renewing(work)

    async def upload_blob(
        self, descriptor: Descriptor, chunks: AsyncIterable[bytes] | bytes
    ) -> None:
        """Upload a blob; raises ContentError, and commits nothing, if it is not as described.

        Bytes may be sent more than once; an iterable is read once, so that a credential that
        expires meanwhile ends the upload.
        """

        async def work(pool: pools.Pool) -> None:
            await upload.upload_blob(
                pool.transport, self._repository, descriptor, chunks, scope=self._scope(_PUSH)
            )

        if isinstance(chunks, bytes):
            await self._renewing(work)
        else:
            pool = await self._pool()
            try:
                await work(pool)
            except _NAMEABLE as error:
                self._raise_named(error, "")

    async def put_manifest(self, body: bytes, *, media_type: str, reference: str) -> Descriptor:
        """Put a manifest under a tag or digest; returns its descriptor."""

        async def work(pool: pools.Pool) -> Descriptor:
            return await upload.put_manifest(
                pool.transport,
                self._repository,
                body,
                media_type=media_type,
                identifier=reference,
                scope=self._scope(_PUSH),
            )

        return await self._renewing(work, reference)

    # ------------------------------------------------------------------ inside

    async def _look_up(self, identifier: str) -> Descriptor:
        is_renewed = False
        while True:
            pool = await self._pool()
            try:
                found: Descriptor = await self._registries.probes.share(
                    (pool, self._repository.path, identifier),
                    lookup.look_up,
                    pool.transport,
                    self._repository,
                    identifier,
                    self._scope(_PULL),
                )
            except _NAMEABLE as error:
                if is_renewed or not await self._renew(error):
                    self._raise_named(error, identifier)
                is_renewed = True
            else:
                return found

    async def _tags(self, pool: pools.Pool) -> tuple[str, ...]:
        return await self._registries.tag_lists.get(
            (pool, self._repository.path),
            lambda: taglists.fetch(pool.transport, self._repository, scope=self._scope(_PULL)),
        )

    def _scope(self, actions: str) -> str:
        return f"repository:{self._repository.path}:{actions}"

    async def _pool(self) -> pools.Pool:
        if not self._has_credential:
            self._credential = await self._access.keychain.credential(self._repository)
            self._has_credential = True
        way = connections.Way(
            host=self._repository.host,
            tls=self._access.tls,
            proxy=self._access.proxy,
            is_insecure=self._access.is_insecure,
        )
        return await self._registries.pools.get(way, self._credential)

    async def _renewing(
        self, work: Callable[[pools.Pool], Awaitable[T]], identifier: str = ""
    ) -> T:
        """Do the work; once more with another credential if this one has expired."""
        is_renewed = False
        while True:
            pool = await self._pool()
            try:
                return await work(pool)
            except _NAMEABLE as error:
                if is_renewed or not await self._renew(error):
                    self._raise_named(error, identifier)
                is_renewed = True

    def _raise_named(self, error: errors.OcisourceError, identifier: str) -> NoReturn:
        """Raise the error, with the repository and a tag or digest (or "") in its text."""
        repository = self._repository
        separator = "@" if ":" in identifier else ":"
        host = exchange.WIRE_HOSTS.get(repository.host, repository.host)
        failures.raise_named(
            error,
            f"{repository}{separator if identifier else ''}{redact.foreign(identifier)}",
            url_part=f"//{host}/v2/{repository.path}/",
        )

    async def _renew(self, error: errors.OcisourceError) -> bool:
        keychain = self._access.keychain
        if (
            not isinstance(error, errors.RegistryError)
            or error.status not in _RENEWABLE_STATUSES
            or self._credential is None
            or not isinstance(keychain, RenewableKeychain)
        ):
            return False
        renewed = await keychain.renewed(self._repository, self._credential)
        if renewed is None or renewed == self._credential:
            return False
        self._credential = renewed
        return True
