"""The OCIRepository custom resource as values (``source.toolkit.fluxcd.io``, v1 and v1beta2).

The schema is a superset of both versions, and the wire form of an absent field is absence:
``ignore`` and ``layer_selector`` distinguish unset from empty, because a rebuild is decided on
that difference.
"""

import typing

import msgspec

from ocisource.api import artifact as artifacts
from ocisource.api import conditions as api_conditions
from ocisource.api import meta

GROUP: typing.Final = "source.toolkit.fluxcd.io"
VERSIONS: typing.Final = ("v1", "v1beta2")
KIND: typing.Final = "OCIRepository"
PLURAL: typing.Final = "ocirepositories"

FINALIZER: typing.Final = "finalizers.fluxcd.io"
REQUESTED_AT: typing.Final = "reconcile.fluxcd.io/requestedAt"
EVENT_ANNOTATION_PREFIX: typing.Final = "event.toolkit.fluxcd.io/"
REVISION_ANNOTATION: typing.Final = f"{GROUP}/revision"
CHECKSUM_ANNOTATION: typing.Final = f"{GROUP}/checksum"
DIGEST_ANNOTATION: typing.Final = f"{GROUP}/digest"

GENERIC_PROVIDER: typing.Final = "generic"
DEFAULT_TIMEOUT: typing.Final = "60s"
EXTRACT: typing.Final = "extract"
COPY: typing.Final = "copy"


class Ref(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, gc=False):
    """Which version is wanted: digest wins over semver, semver over tag."""

    tag: str = ""
    semver: str = ""
    semver_filter: str = ""
    digest: str = ""


class LayerSelector(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, gc=False
):
    """Which layer is taken, and whether it is unpacked or copied."""

    media_type: str = ""
    operation: str = ""

    @property
    def effective_operation(self) -> str:
        """The operation, ``extract`` when unset."""
        return self.operation or EXTRACT


class Spec(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, gc=False):
    """What the user declared."""

    url: str = ""
    interval: str = ""
    timeout: str = DEFAULT_TIMEOUT
    ref: Ref | None = None
    provider: str = GENERIC_PROVIDER
    secret_ref: meta.LocalObjectReference | None = None
    service_account_name: str = ""
    cert_secret_ref: meta.LocalObjectReference | None = None
    proxy_secret_ref: meta.LocalObjectReference | None = None
    ignore: str | None = None
    suspend: bool = False
    layer_selector: LayerSelector | None = None
    insecure: bool = False
    verify: dict[str, typing.Any] | None = None


class Status(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, gc=False
):
    """What the controller observed."""

    observed_generation: int = 0
    conditions: api_conditions.Conditions = ()
    url: str = ""
    artifact: artifacts.Artifact | None = None
    last_handled_reconcile_at: str = ""
    content_config_checksum: str = ""
    observed_ignore: str | None = None
    observed_layer_selector: LayerSelector | None = None


class OCIRepository(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """A declared OCI repository and its state."""

    metadata: meta.ObjectMeta
    spec: Spec = Spec()
    status: Status = Status()
    api_version: str = f"{GROUP}/{VERSIONS[0]}"
    kind: str = KIND

    @property
    def requested_at(self) -> str | None:
        """The reconcile request's token, if there is one (an empty one counts)."""
        return self.metadata.annotations.get(REQUESTED_AT)
