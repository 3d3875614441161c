"""Declared: an OCIRepository's spec as values of the OCI wing, or the reason why it cannot be.

What is wrong here was written by the user and no retry can mend it, so all of it stalls.
"""

import dataclasses
import hashlib

from ocisource import errors
from ocisource.api import ocirepository
from ocisource.net import redact
from ocisource.oci.grammar import manifest, reference
from ocisource.reconciler import reasons, steps
from ocisource.source import wanted
from ocisource.wire import durations

MIN_INTERVAL = 1.0  # seconds; a shorter interval would hammer the registry


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What is wanted, how often (seconds), and how long a fetch may take (seconds).

    ``shown_url`` is ``spec.url`` as it may be shown.
    """

    wanted: wanted.Wanted
    shown_url: str
    interval: float
    timeout: float
    timeout_text: str


def read(spec: ocirepository.Spec, *, platform: manifest.Platform) -> Declared:
    """The spec as values; raises a stalling StepFailedError that names the field."""
    _refuse_unsupported(spec)
    interval = _duration("spec.interval", spec.interval)
    if interval < MIN_INTERVAL:
        raise _invalid(f"spec.interval '{spec.interval}' is shorter than 1s: write 1s or more")
    timeout = _duration("spec.timeout", spec.timeout)
    if timeout <= 0:
        raise _invalid(f"spec.timeout '{spec.timeout}' is not above 0: write for example 60s")
    shown_url = redact.url(spec.url)
    with steps.step(
        reasons.FETCH_FAILED,
        reasons.URL_INVALID,
        f"URL validation failed for '{shown_url}'",
        is_stalling=True,
    ):
        repository = reference.Repository.parse_url(spec.url)
    ref = spec.ref or ocirepository.Ref()
    selector = spec.layer_selector or ocirepository.LayerSelector()
    return Declared(
        wanted=wanted.Wanted(
            repository=repository,
            platform=platform,
            digest=ref.digest,
            semver=ref.semver,
            semver_filter=ref.semver_filter,
            tag=ref.tag,
            media_type=selector.media_type,
            is_copied=selector.effective_operation == ocirepository.COPY,
            ignore=spec.ignore,
        ),
        shown_url=shown_url,
        interval=interval,
        timeout=timeout,
        timeout_text=spec.timeout,
    )


def content_config_checksum(spec: ocirepository.Spec) -> str:
    """``sha256:hex`` of what decides on the content, by the formula of source-controller v0.30.

    It is written for readers of the status and never read: ``observedIgnore`` and
    ``observedLayerSelector`` decide on a rebuild.
    """
    text = spec.ignore or ""
    if spec.layer_selector is not None:
        text += spec.layer_selector.media_type + spec.layer_selector.effective_operation
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def is_content_config_changed(obj: ocirepository.OCIRepository) -> bool:
    """Whether ignore rules or layer selector differ from those of the stored artifact.

    Unset and empty differ, as do an operation left out and one spelled out.
    """
    return (obj.spec.ignore, obj.spec.layer_selector) != (
        obj.status.observed_ignore,
        obj.status.observed_layer_selector,
    )


def _refuse_unsupported(spec: ocirepository.Spec) -> None:
    if spec.verify is not None:
        raise steps.StepFailedError(
            "spec.verify is not supported yet: signatures would go unchecked, so nothing is "
            "fetched; remove spec.verify to fetch without verification",
            condition=reasons.FETCH_FAILED,
            reason=reasons.NOT_SUPPORTED,
            is_stalling=True,
        )
    if spec.layer_selector is not None and spec.layer_selector.operation not in {
        "",
        ocirepository.EXTRACT,
        ocirepository.COPY,
    }:
        raise steps.StepFailedError(
            f"unsupported layer operation: {spec.layer_selector.operation}",
            condition=reasons.FETCH_FAILED,
            reason=reasons.LAYER_OPERATION_FAILED,
            is_stalling=True,
        )


def _duration(field: str, text: str) -> float:
    try:
        return durations.parse(text)
    except errors.InvalidInputError as error:
        raise _invalid(f"{field} is not a duration ({error}): write for example 5m or 1h30m") from (
            error
        )


def _invalid(message: str) -> steps.StepFailedError:
    return steps.StepFailedError(
        message, condition=reasons.FETCH_FAILED, reason=reasons.SPEC_INVALID, is_stalling=True
    )
