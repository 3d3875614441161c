"""Cloud logins of objects: ``spec.provider``, as the controller or as a ServiceAccount.

The ServiceAccount is ``spec.serviceAccountName``, or else the one of ``--default-service-account``,
in the object's namespace; both need the feature gate ``ObjectLevelWorkloadIdentity``. Everything
is read when the registry first asks, so that failures belong to the step that asked.
"""

import dataclasses
import typing
from collections.abc import Sequence

from ocisource import errors, metrics
from ocisource.api import ocirepository
from ocisource.kube import resources
from ocisource.net import proxy as proxies
from ocisource.net import tls as tls_identities
from ocisource.oci.authentication import credentials
from ocisource.oci.providers import identity, logins, tokens
from ocisource.reconciler import reasons, steps

GATE_IS_OFF: typing.Final = (
    "to use spec.serviceAccountName for provider authentication please enable the "
    "ObjectLevelWorkloadIdentity feature gate in the controller"
)
_DEFAULT_HINT = (
    "; --default-service-account names it for objects without spec.serviceAccountName: "
    "create it in this namespace, or name another there"
)
_RECONCILE = "reconcile"  # the operation in the metrics' label


class Accounts(typing.Protocol):
    """The part of the Kubernetes API that identities need."""

    async def get(
        self, resource: resources.Resource[resources.T], name: str, *, namespace: str = ""
    ) -> resources.T:
        """The object; raises APIStatusError."""
        ...

    async def create_token(
        self, account: str, *, namespace: str, audiences: Sequence[str] = ()
    ) -> str:
        """A token of a ServiceAccount; raises APIStatusError."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Logins:
    """An access.CloudLogin; ``has_object_identity`` is the feature gate."""

    clouds: logins.Clouds
    client: Accounts
    has_object_identity: bool
    default_account: str = ""

    def check(self, obj: ocirepository.OCIRepository) -> None:
        """Raise StepFailedError where an identity is asked for that is turned off."""
        if obj.spec.service_account_name and not self.has_object_identity:
            raise steps.StepFailedError(
                GATE_IS_OFF,
                condition=None,
                reason=reasons.FEATURE_GATE_DISABLED,
                is_stalling=True,
            )
        if obj.spec.provider not in logins.NAMES:
            known = ", ".join((ocirepository.GENERIC_PROVIDER, *logins.NAMES))
            raise steps.StepFailedError(
                f"failed to get credential from {obj.spec.provider}: unknown provider, must be "
                f"one of: {known}",
                condition=reasons.FETCH_FAILED,
                reason=reasons.AUTHENTICATION_FAILED,
            )

    def account(self, obj: ocirepository.OCIRepository) -> str:
        """As of access.CloudLogin."""
        if obj.spec.service_account_name:
            return obj.spec.service_account_name
        return self.default_account if self.has_object_identity else ""

    def keychain(
        self,
        obj: ocirepository.OCIRepository,
        *,
        proxy: proxies.Proxy | None,
        tls: tls_identities.TLSIdentity | None,
    ) -> credentials.Keychain:
        """As of access.CloudLogin; costs nothing."""
        named = self.account(obj)
        namespace, name = obj.metadata.namespace, obj.metadata.name
        return self.clouds.keychain(
            obj.spec.provider,
            route=identity.Route(proxy=proxy, tls=tls),
            account=(
                _Source(self.client, namespace, named, is_default=not obj.spec.service_account_name)
                if named
                else None
            ),
            owner=tokens.Owner(name, namespace),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class _Source:
    """An identity.AccountSource that asks the Kubernetes API."""

    client: Accounts = dataclasses.field(compare=False, repr=False)
    namespace: str
    name: str
    is_default: bool = dataclasses.field(compare=False, repr=False)

    async def read(self) -> identity.Account:
        """As of AccountSource; raises CredentialError."""
        try:
            found = await self.client.get(
                resources.SERVICE_ACCOUNTS, self.name, namespace=self.namespace
            )
        except (errors.APIStatusError, errors.TransportError) as error:
            hint = _DEFAULT_HINT if self.is_default else ""
            raise errors.CredentialError(
                f"failed to get service account '{self.namespace}/{self.name}': {error.text}{hint}"
            ) from error
        return identity.Account(
            namespace=self.namespace,
            name=self.name,
            annotations=found.metadata.annotations,
            token=self._token,
        )

    async def _token(self, audience: str) -> str:
        try:
            return await self.client.create_token(
                self.name, namespace=self.namespace, audiences=[audience]
            )
        except (errors.APIStatusError, errors.TransportError) as error:
            raise errors.CredentialError(
                "failed to create kubernetes token for service account "
                f"'{self.namespace}/{self.name}': {error.text}"
            ) from error


class Measures:
    """A tokens.Observer under Flux's metric names; an object's series end with it."""

    def __init__(self, observed: metrics.Metrics) -> None:
        self._observed = observed
        self._series: dict[tokens.Owner, set[tuple[str, ...]]] = {}

    def looked_up(self, owner: tokens.Owner, *, is_hit: bool) -> None:
        """As of Observer."""
        event = "cache_hit" if is_hit else "cache_miss"
        about: tuple[str, ...] = (ocirepository.KIND,)
        if self._observed.has_object_series:
            about += (owner.name, owner.namespace)
        labels = (event, *about, _RECONCILE)
        self._observed.token_cache_events.labels(*labels).inc()
        if self._observed.has_object_series:
            self._series.setdefault(owner, set()).add(labels)

    def requested(self, *, is_success: bool) -> None:
        """As of Observer."""
        status = "success" if is_success else "failure"
        self._observed.token_cache_requests.labels(status).inc()

    def kept(self, count: int) -> None:
        """As of Observer."""
        self._observed.token_cached_items.set(count)

    def evicted(self) -> None:
        """As of Observer."""
        self._observed.token_cache_evictions.inc()

    def forget(self, name: str, namespace: str) -> None:
        """The object is gone."""
        for labels in self._series.pop(tokens.Owner(name, namespace), ()):
            self._observed.token_cache_events.remove(*labels)
