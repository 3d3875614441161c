"""Access: how a registry may be reached, from the Secrets and ServiceAccount an object names.

Secrets win over a cloud provider; no Secret named means anonymous, never an ambient configuration.
Order of pull Secrets: ``spec.secretRef`` first, then those of the ServiceAccount.
"""

import dataclasses
import typing

from ocisource import errors, logs
from ocisource.api import meta, ocirepository
from ocisource.kube import resources
from ocisource.net import proxy as proxies
from ocisource.net import tls
from ocisource.oci import credentials, reference, registry
from ocisource.reconciler import notify, reasons, steps

_NOT_FOUND = 404


class Reader(typing.Protocol):
    """Reads single objects of the Kubernetes API."""

    async def get(
        self, resource: resources.Resource[resources.T], name: str, *, namespace: str = ""
    ) -> resources.T:
        """The object; raises APIStatusError."""
        ...


class CloudLogin(typing.Protocol):
    """Gives keychains that log in to a cloud's registry when the registry first asks."""

    def keychain(
        self, obj: ocirepository.OCIRepository, repository: reference.Repository
    ) -> credentials.Keychain:
        """A lazy keychain; raises StepFailedError where the object asks for what is off."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AccessReader:
    """Reads what an object names, each time it is needed; nothing is cached here."""

    client: Reader
    recorder: notify.Recorder
    cloud: CloudLogin | None
    log: logs.Log

    async def read(
        self, obj: ocirepository.OCIRepository, repository: reference.Repository
    ) -> registry.Access:
        """The access for this object; raises StepFailedError (AuthenticationFailed)."""
        failed = reasons.AUTHENTICATION_FAILED
        with steps.step(reasons.FETCH_FAILED, failed, "failed to get credential"):
            keychain = await self._keychain(obj, repository)
        with steps.step(reasons.FETCH_FAILED, failed, "failed to get proxy address"):
            proxy = await self._proxy(obj)
        with steps.step(
            reasons.FETCH_FAILED, failed, f"failed to generate transport for '{obj.spec.url}'"
        ):
            identity = await self._identity(obj)
        return registry.Access(
            keychain=keychain, tls=identity, proxy=proxy, is_insecure=obj.spec.insecure
        )

    async def _keychain(
        self, obj: ocirepository.OCIRepository, repository: reference.Repository
    ) -> credentials.Keychain:
        secrets = await self._pull_secrets(obj)
        if secrets:
            return credentials.PullSecrets.from_secrets(
                [(secret.type, secret.data) for secret in secrets],
                names=[_label(secret.metadata) for secret in secrets],
            )
        if obj.spec.provider in {"", ocirepository.GENERIC_PROVIDER}:
            return credentials.ANONYMOUS
        if self.cloud is None:
            raise steps.StepFailedError(
                f"spec.provider '{obj.spec.provider}' is not supported yet; name a Secret in "
                "spec.secretRef instead",
                condition=reasons.FETCH_FAILED,
                reason=reasons.NOT_SUPPORTED,
                is_stalling=True,
            )
        return self.cloud.keychain(obj, repository)

    async def _pull_secrets(self, obj: ocirepository.OCIRepository) -> list[resources.Secret]:
        namespace = obj.metadata.namespace
        secrets: list[resources.Secret] = []
        if obj.spec.secret_ref is not None and (name := obj.spec.secret_ref.name):
            try:
                secrets.append(await self.client.get(resources.SECRETS, name, namespace=namespace))
            except errors.APIStatusError as error:
                if error.code == _NOT_FOUND:
                    event = notify.trace(
                        reasons.AUTHENTICATION_FAILED, f"auth secret '{name}' not found"
                    )
                    self.recorder.record(obj, event)
                raise errors.CredentialError(
                    f"failed to get secret '{namespace}/{name}': {error.text}"
                ) from error
        if obj.spec.service_account_name:
            secrets += await self._service_account_secrets(namespace, obj.spec.service_account_name)
        return secrets

    async def _service_account_secrets(
        self, namespace: str, account: str
    ) -> list[resources.Secret]:
        label = f"serviceaccount '{namespace}/{account}'"
        found = await self._get(
            resources.SERVICE_ACCOUNTS, namespace, account, f"{label} not found"
        )
        return [
            await self._get(
                resources.SECRETS,
                namespace,
                reference_.name,
                f"failed to get image pull secret for {label}: "
                f"secret '{namespace}/{reference_.name}' not found",
            )
            for reference_ in found.image_pull_secrets
            if reference_.name
        ]

    async def _identity(self, obj: ocirepository.OCIRepository) -> tls.TLSIdentity | None:
        secret = await self._referenced(obj, obj.spec.cert_secret_ref)
        if secret is None:
            return None
        identity, legacy_keys = tls.from_secret_data(secret.data, secret=_label(secret.metadata))
        for key in legacy_keys:
            self.log.debug(
                "using legacy key in secret data", secret=_label(secret.metadata), key=key
            )
        return identity

    async def _proxy(self, obj: ocirepository.OCIRepository) -> proxies.Proxy | None:
        secret = await self._referenced(obj, obj.spec.proxy_secret_ref)
        if secret is None:
            return None
        return proxies.from_secret_data(secret.data, secret=_label(secret.metadata))

    async def _referenced(
        self, obj: ocirepository.OCIRepository, named: meta.LocalObjectReference | None
    ) -> resources.Secret | None:
        """The Secret a reference names; an empty name counts as no reference."""
        if named is None or not named.name:
            return None
        namespace = obj.metadata.namespace
        return await self._get(
            resources.SECRETS, namespace, named.name, f"secret '{namespace}/{named.name}' not found"
        )

    async def _get(
        self,
        resource: resources.Resource[resources.T],
        namespace: str,
        name: str,
        not_found: str,
    ) -> resources.T:
        try:
            return await self.client.get(resource, name, namespace=namespace)
        except errors.APIStatusError as error:
            text = not_found if error.code == _NOT_FOUND else error.text
            raise errors.CredentialError(text) from error


def _label(metadata: meta.ObjectMeta) -> str:
    return f"{metadata.namespace}/{metadata.name}"
