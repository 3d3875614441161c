"""Pacing: when an object is looked at again, so that thousands of them spread over time.

Objects found at start are all looked at once, and would all come back together one interval later.
Their first interval is therefore cut to a random part; later ones vary by the jitter.
"""

import random

from ocisource.controller import request as requests

_SHORTEST_PART = 0.1  # of an interval


class Pacing:
    """Decides on the wait before an object's next run; ``jitter`` is a fraction of an interval."""

    def __init__(self, *, jitter: float, rng: random.Random) -> None:
        self._jitter = jitter
        self._rng = rng
        self._found: set[requests.Request] = set()

    def found_at_start(self, request: requests.Request) -> None:
        """The object was there before this process."""
        self._found.add(request)

    def forget(self, request: requests.Request) -> None:
        """The object is gone."""
        self._found.discard(request)

    def next_run(self, request: requests.Request, interval: float) -> float:
        """Seconds from now until the object's next run; ``interval`` is what its spec says."""
        if request in self._found:
            self._found.discard(request)
            return interval * self._rng.uniform(_SHORTEST_PART, 1.0)
        return interval * (1 + self._jitter * (2 * self._rng.random() - 1))
