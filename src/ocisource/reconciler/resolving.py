"""Resolve: which digest a declared source means now, each fallible step with its meaning.

A digest reference costs no request while nothing changes: it is shown to the registry again only
when its object has a new generation or another credential.
"""

import dataclasses
import typing

from ocisource import errors
from ocisource.api import conditions
from ocisource.oci import registry
from ocisource.reconciler import deadline, declared, draft, reasons, steps
from ocisource.source import resolve, wanted

# The distribution spec's code for a repository that is not there: of its tags nothing is known.
_NO_REPOSITORY: typing.Final = "NAME_UNKNOWN"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Resolver:
    """Resolves for one object at a time; safe for concurrent use.

    ``accepted`` remembers, by uid, which generation and credential the registry last accepted for a
    digest reference.
    """

    accepted: dict[str, tuple[int, registry.Access]] = dataclasses.field(default_factory=dict)

    async def resolve(
        self,
        run: draft.Draft,
        want: declared.Declared,
        remote: registry.RemoteRepository,
        *,
        granted: registry.Access,
        limit: deadline.Deadline,
    ) -> resolve.Resolved:
        """The digest that is wanted; raises StepFailedError."""
        url = want.shown_url
        tag: str | None = want.wanted.tag or wanted.DEFAULT_TAG
        if want.wanted.digest or want.wanted.semver:
            async with limit.step(
                reasons.READ_OPERATION_FAILED, f"failed to determine the artifact tag for '{url}'"
            ):
                tag = await resolve.choose_tag(remote, want.wanted)
        async with limit.step(reasons.PULL_FAILED, "failed to determine artifact digest"):
            try:
                resolved = await resolve.to_digest(
                    remote, want.wanted, tag, is_probe_due=self._is_probe_due(run, granted)
                )
            except errors.ReferenceInvalidError as error:
                raise errors.ReferenceInvalidError(
                    f"{error.text}; write spec.ref.digest as sha256: and 64 hexadecimal digits"
                ) from error
            except errors.NotFoundError as error:
                if tag is None:
                    raise
                has_repository = _NO_REPOSITORY not in error.codes
                why = "" if has_repository else " (the registry knows no such repository)"
                raise steps.StepFailedError(
                    f"failed to pull artifact from '{url}': couldn't find tag \"{tag}\"{why}",
                    condition=reasons.FETCH_FAILED,
                    reason=reasons.PULL_FAILED,
                ) from error
        if tag is None:
            self.accepted[run.obj.metadata.uid] = (run.generation, granted)
        return resolved

    def _is_probe_due(self, run: draft.Draft, granted: registry.Access) -> bool:
        """Whether a digest reference must be shown to the registry again.

        With no artifact the pull itself will tell; after a restart a Ready object is believed.
        """
        if run.status.artifact is None:
            return False
        status = run.obj.status
        known = self.accepted.get(run.obj.metadata.uid)
        if known is None:
            is_ready = conditions.is_true(status.conditions, conditions.READY)
            return not (is_ready and status.observed_generation == run.generation)
        return known != (run.generation, granted)

    def forget(self, uid: str) -> None:
        """The object is gone."""
        self.accepted.pop(uid, None)
