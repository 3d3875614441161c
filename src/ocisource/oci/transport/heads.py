"""Repositories whose HEAD says nothing, though a GET does: no digest in it, or no HEAD at all.

Artifactory and Red Hat's registry are among them. They are asked with GET at once for a while: one
request for each check instead of two.
"""

from collections.abc import Callable

_REPOSITORIES_MAX = 4096  # remembered for one host and credential


class Heads:
    """Which repositories of one host need not be asked with HEAD.

    ``clock`` is monotonic; after ``lifetime`` (both in seconds) HEAD is tried again.
    """

    def __init__(self, *, lifetime: float, clock: Callable[[], float]) -> None:
        self._lifetime = lifetime
        self._clock = clock
        self._until: dict[str, float] = {}

    def are_useless(self, repository: str) -> bool:
        """Whether a HEAD of this repository (its path) lately said nothing."""
        until = self._until.get(repository)
        return until is not None and self._clock() < until

    def learn(self, repository: str) -> None:
        """Remember that a HEAD said nothing where a GET did."""
        self._until.pop(repository, None)
        while len(self._until) >= _REPOSITORIES_MAX:
            del self._until[next(iter(self._until))]  # the one learnt longest ago
        self._until[repository] = self._clock() + self._lifetime
