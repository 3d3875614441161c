"""Access: how a registry may be reached, from the Secrets and ServiceAccount an object names.

Secrets win over a cloud provider; no Secret named means anonymous, never an ambient configuration.
Order of pull Secrets: ``spec.secretRef`` first, then those of the ServiceAccount.
"""

import dataclasses
import typing
from collections.abc import Callable

from ocisource import errors, logs
from ocisource.api import meta, ocirepository
from ocisource.controller import request as requests
from ocisource.kube import resources
from ocisource.net import proxy as proxies
from ocisource.net import redact, tls
from ocisource.oci import registry
from ocisource.oci.authentication import credentials
from ocisource.oci.grammar import reference
from ocisource.reconciler import notify, reasons, steps, triggers

_NOT_FOUND = 404
_PLAIN: typing.Final = registry.Access()
_INSECURE: typing.Final = registry.Access(is_insecure=True)


class Reader(typing.Protocol):
    """Reads single objects of the Kubernetes API."""

    async def get(
        self, resource: resources.Resource[resources.T], name: str, *, namespace: str = ""
    ) -> resources.T:
        """The object; raises APIStatusError."""
        ...


class CloudLogin(typing.Protocol):
    """Gives keychains that log in to a cloud's registry when the registry first asks."""

    def check(self, obj: ocirepository.OCIRepository) -> None:
        """Raise StepFailedError where the object asks for what is off."""
        ...

    def account(self, obj: ocirepository.OCIRepository) -> str:
        """The ServiceAccount to log in as, read when the registry first asks; "" for none."""
        ...

    def keychain(
        self,
        obj: ocirepository.OCIRepository,
        *,
        proxy: proxies.Proxy | None,
        tls: tls.TLSIdentity | None,
    ) -> credentials.Keychain:
        """A lazy keychain, whose own requests go the way of the object's."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AccessReader:
    """Reads what an object names, each time it is needed; nothing is cached here.

    ``uses`` learns what was read, so that a change of it can trigger a run.
    """

    client: Reader
    uses: triggers.Uses
    recorder: notify.Recorder
    cloud: CloudLogin
    log: logs.Log

    async def read(self, obj: ocirepository.OCIRepository) -> registry.Access:
        """The access for this object; raises StepFailedError (AuthenticationFailed)."""
        request = requests.Request(obj.metadata.namespace, obj.metadata.name)
        if _names_nothing(obj.spec):
            self.uses.record(request, frozenset())
            return _INSECURE if obj.spec.insecure else _PLAIN
        reading = _Reading(self.client, obj, expect=lambda use: self.uses.expect(request, use))
        try:
            return await self._read(reading, obj)
        finally:
            self.uses.record(request, frozenset(reading.seen))

    async def _read(
        self,
        reading: "_Reading",
        obj: ocirepository.OCIRepository,
    ) -> registry.Access:
        failed = reasons.AUTHENTICATION_FAILED
        with steps.step(reasons.FETCH_FAILED, failed, "failed to get credential"):
            keychain = await self._keychain(reading, obj)
        with steps.step(reasons.FETCH_FAILED, failed, "failed to get proxy address"):
            secret = await reading.referenced(obj.spec.proxy_secret_ref)
            proxy = (
                proxies.from_secret_data(secret.data, secret=_label(secret.metadata))
                if secret is not None
                else None
            )
        if keychain is None:
            self.cloud.check(obj)
            if account := self.cloud.account(obj):
                reading.expect(resources.SERVICE_ACCOUNTS, account)
        with steps.step(
            reasons.FETCH_FAILED,
            failed,
            f"failed to generate transport for '{redact.url(obj.spec.url)}'",
        ):
            identity = await self._identity(reading, obj)
        if keychain is None:
            keychain = self.cloud.keychain(obj, proxy=proxy, tls=identity)
        return registry.Access(
            keychain=keychain, tls=identity, proxy=proxy, is_insecure=obj.spec.insecure
        )

    async def _keychain(
        self, reading: "_Reading", obj: ocirepository.OCIRepository
    ) -> credentials.Keychain | None:
        """The keychain that Secrets make; None where a cloud is to log in.

        A Secret of a type that holds no credentials counts too: it was meant to.
        """
        secrets = await self._pull_secrets(reading, obj)
        if secrets:
            return credentials.PullSecrets.from_secrets(
                [(secret.type, secret.data) for secret in secrets],
                names=[_label(secret.metadata) for secret in secrets],
            )
        if obj.spec.provider in {"", ocirepository.GENERIC_PROVIDER}:
            return credentials.ANONYMOUS
        return None

    async def _pull_secrets(
        self, reading: "_Reading", obj: ocirepository.OCIRepository
    ) -> list[resources.Secret]:
        secrets: list[resources.Secret] = []
        if obj.spec.secret_ref is not None and (name := obj.spec.secret_ref.name):
            try:
                secrets.append(await reading.get(resources.SECRETS, name))
            except errors.APIStatusError as error:
                if error.code == _NOT_FOUND:
                    event = notify.trace(
                        reasons.AUTHENTICATION_FAILED, f"auth secret '{name}' not found"
                    )
                    self.recorder.record(obj, event)
                raise errors.CredentialError(
                    f"failed to get secret '{obj.metadata.namespace}/{name}': {error.text}"
                ) from error
        if obj.spec.service_account_name:
            secrets += await reading.account_secrets(obj.spec.service_account_name)
        return secrets

    async def _identity(
        self, reading: "_Reading", obj: ocirepository.OCIRepository
    ) -> tls.TLSIdentity | None:
        secret = await reading.referenced(obj.spec.cert_secret_ref)
        if secret is None:
            return None
        label = _label(secret.metadata)
        identity, legacy_keys = tls.from_secret_data(secret.data, secret=label)
        for key in legacy_keys:
            self.log.debug("using legacy key in secret data", secret=label, key=key)
        return identity


def explained(
    failure: steps.StepFailedError, granted: registry.Access, repository: reference.Repository
) -> steps.StepFailedError:
    """The failure; of a refusal with what is missing in the Secrets that were meant to prevent it.

    A Secret of another type, or for another host, is no error in itself.
    """
    keychain = granted.keychain
    if (
        not isinstance(failure.__cause__, errors.UnauthorizedError)
        or not isinstance(keychain, credentials.PullSecrets)
        or keychain.find(repository) is not None
    ):
        return failure
    return steps.StepFailedError(
        f"{failure.message}; the Secrets that the object names have no entry for "
        f"{repository.host}: they must be of type {credentials.DOCKER_CONFIG_JSON} or "
        f"{credentials.DOCKER_CFG} and name that host",
        condition=failure.condition,
        reason=failure.reason,
        retry_after=failure.retry_after,
    )


class _Reading:
    """One object's reads; ``seen`` are the uses, whether or not the read succeeded."""

    def __init__(
        self, client: Reader, obj: ocirepository.OCIRepository, *, expect: Callable[[str], None]
    ) -> None:
        self._client = client
        self._namespace = obj.metadata.namespace
        self._expect = expect
        self.seen: set[str] = set()

    async def get(self, resource: resources.Resource[resources.T], name: str) -> resources.T:
        """An object of the namespace; raises APIStatusError."""
        self.expect(resource, name)  # before it is read: a change of it may come at any moment
        return await self._client.get(resource, name, namespace=self._namespace)

    def expect(self, resource: resources.Resource[typing.Any], name: str) -> None:
        """An object of the namespace is about to be read, here or on the way to the registry."""
        use = triggers.use(resource.kind, self._namespace, name)
        self.seen.add(use)
        self._expect(use)

    async def account_secrets(self, account: str) -> list[resources.Secret]:
        """The pull Secrets of a ServiceAccount; raises CredentialError."""
        label = f"serviceaccount '{self._namespace}/{account}'"
        found = await self._required(resources.SERVICE_ACCOUNTS, account, f"{label} not found")
        return [
            await self._required(
                resources.SECRETS,
                named.name,
                f"failed to get image pull secret for {label}: "
                f"secret '{self._namespace}/{named.name}' not found",
            )
            for named in found.image_pull_secrets
            if named.name
        ]

    async def referenced(self, named: meta.LocalObjectReference | None) -> resources.Secret | None:
        """The Secret a reference names; an empty name counts as no reference."""
        if named is None or not named.name:
            return None
        return await self._required(
            resources.SECRETS, named.name, f"secret '{self._namespace}/{named.name}' not found"
        )

    async def _required(
        self, resource: resources.Resource[resources.T], name: str, not_found: str
    ) -> resources.T:
        try:
            return await self.get(resource, name)
        except errors.APIStatusError as error:
            text = not_found if error.code == _NOT_FOUND else error.text
            raise errors.CredentialError(text) from error


def _names_nothing(spec: ocirepository.Spec) -> bool:
    """Whether the registry is reached anonymously and directly: most objects, on every run."""
    return (
        spec.secret_ref is None
        and not spec.service_account_name
        and spec.cert_secret_ref is None
        and spec.proxy_secret_ref is None
        and spec.provider in {"", ocirepository.GENERIC_PROVIDER}
    )


def _label(metadata: meta.ObjectMeta) -> str:
    return f"{metadata.namespace}/{metadata.name}"
