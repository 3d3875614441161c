"""Triggers: which change queues which object, and with what priority.

An object is queued when it is new, when its generation or its reconcile request changes, when it is
to be deleted, and when a Secret or ServiceAccount that its last run read changes. Status and label
edits queue nothing. A newer generation calls off a run for an older one.
"""

import typing

from ocisource.api import meta, ocirepository
from ocisource.controller import informer
from ocisource.controller import request as requests
from ocisource.reconciler import newest, pacing


class Queue(typing.Protocol):
    """Where keys go."""

    def add(self, key: requests.Request, priority: requests.Priority) -> None:
        """Have a key worked on soon."""
        ...

    def forget(self, key: requests.Request) -> None:
        """End the back-off of a key."""
        ...


class Runs(typing.Protocol):
    """The runs in work."""

    def cancel(self, key: requests.Request) -> bool:
        """Call off a run and start it anew."""
        ...


class Uses:
    """Which Secrets and ServiceAccounts the last run of each object read, both ways."""

    def __init__(self) -> None:
        self._by_request: dict[requests.Request, frozenset[str]] = {}
        self._by_use: dict[str, set[requests.Request]] = {}

    def record(self, request: requests.Request, uses: frozenset[str]) -> None:
        """Replace what is known of an object; an empty set forgets it."""
        old = self._by_request.get(request, frozenset())
        if old == uses:
            return
        for use in old - uses:
            users = self._by_use[use]
            users.discard(request)
            if not users:
                del self._by_use[use]
        for use in uses - old:
            self._by_use.setdefault(use, set()).add(request)
        if uses:
            self._by_request[request] = uses
        else:
            del self._by_request[request]

    def expect(self, request: requests.Request, use: str) -> None:
        """Something is about to be read: a change of it that comes during the run counts, too."""
        self.record(request, self._by_request.get(request, frozenset()) | {use})

    def users(self, use: str) -> tuple[requests.Request, ...]:
        """The objects whose last run read it, sorted."""
        return tuple(sorted(self._by_use.get(use, ())))


def use(kind: str, namespace: str, name: str) -> str:
    """The name under which a use is recorded."""
    return f"{kind}/{namespace}/{name}"


class Triggers:
    """Handlers for the informers."""

    def __init__(
        self,
        *,
        queue: Queue,
        runs: Runs,
        objects: newest.Newest,
        uses: Uses,
        pace: pacing.Pacing,
    ) -> None:
        self._queue = queue
        self._runs = runs
        self._objects = objects
        self._uses = uses
        self._pace = pace

    def ocirepositories(self) -> informer.Handler[ocirepository.OCIRepository]:
        """The handler for the objects themselves."""
        return informer.Handler(
            on_add=self._added, on_update=self._updated, on_delete=self._deleted
        )

    def referenced(self, kind: str) -> informer.Handler[meta.PartialObjectMetadata]:
        """The handler for Secrets or ServiceAccounts."""

        def changed(obj: meta.PartialObjectMetadata) -> None:
            name = use(kind, obj.metadata.namespace, obj.metadata.name)
            for request in self._uses.users(name):
                self._queue.forget(request)
                self._queue.add(request, requests.Priority.USER)

        # In a first list, too: a run that read it before may have read what it was then. Before
        # the first runs nobody has read anything, so that a start queues nothing twice.
        return informer.Handler(
            on_add=lambda obj, _: changed(obj),
            on_update=lambda _, new: changed(new),
            on_delete=changed,
        )

    def _added(self, obj: ocirepository.OCIRepository, is_initial: bool) -> None:  # noqa: FBT001
        priority = requests.Priority.INTERVAL if is_initial else requests.Priority.USER
        request = informer.key_of(obj)
        if is_initial:
            self._pace.found_at_start(request)
        self._queue.add(request, priority)

    def _updated(self, old: ocirepository.OCIRepository, new: ocirepository.OCIRepository) -> None:
        self._objects.observe(new)
        request = informer.key_of(new)
        if new.metadata.generation != old.metadata.generation or _is_deletion(old, new):
            # A spec that has changed starts with a clean slate.
            self._queue.forget(request)
            if not self._runs.cancel(request):
                self._queue.add(request, requests.Priority.USER)
        elif new.requested_at is not None and new.requested_at != old.requested_at:
            self._queue.add(request, requests.Priority.USER)

    def _deleted(self, obj: ocirepository.OCIRepository) -> None:
        self._objects.forget(obj)
        request = informer.key_of(obj)
        self._uses.record(request, frozenset())
        self._pace.forget(request)
        self._queue.forget(request)
        if not self._runs.cancel(request):
            # A run for an object that is gone tidies up after it.
            self._queue.add(request, requests.Priority.INTERVAL)


def _is_deletion(old: ocirepository.OCIRepository, new: ocirepository.OCIRepository) -> bool:
    return new.metadata.is_being_deleted and not old.metadata.is_being_deleted
