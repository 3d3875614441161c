"""Which change queues which object, with what priority, and what is called off."""

import random
from typing import Any

import msgspec
import pytest

from ocisource.api import meta, ocirepository
from ocisource.controller import request as requests
from ocisource.kube import resources
from ocisource.oci.authentication import credentials
from ocisource.reconciler import access, newest, pacing, triggers

ONE, TWO = requests.Request("apps", "one"), requests.Request("apps", "two")
USER, INTERVAL = requests.Priority.USER, requests.Priority.INTERVAL
PULL = meta.PartialObjectMetadata(metadata=meta.ObjectMeta(name="pull", namespace="apps"))
USE = triggers.use("Secret", "apps", "pull")


class Queue:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.added: list[tuple[requests.Request, requests.Priority]] = []
        self.forgotten: list[requests.Request] = []

    def add(self, key: requests.Request, priority: requests.Priority) -> None:
        """A key to be worked on."""
        self.added.append((key, priority))

    def forget(self, key: requests.Request) -> None:
        """A back-off that ends."""
        self.forgotten.append(key)


class Runs:
    """Runs in work."""

    def __init__(self, *in_work: requests.Request) -> None:
        self.in_work = set(in_work)
        self.cancelled: list[requests.Request] = []

    def cancel(self, key: requests.Request) -> bool:
        """Call one off."""
        if key not in self.in_work:
            return False
        self.cancelled.append(key)
        return True


class Nothing:
    """An empty cache."""

    def get(self, key: requests.Request) -> None:
        """No object."""


class Scene:
    """Handlers, with what they told whom."""

    def __init__(self, *in_work: requests.Request) -> None:
        self.queue, self.runs, self.uses = Queue(), Runs(*in_work), triggers.Uses()
        self.pace = pacing.Pacing(jitter=0.0, rng=random.Random(1))
        made = triggers.Triggers(
            queue=self.queue,
            runs=self.runs,
            objects=newest.Newest(Nothing()),
            uses=self.uses,
            pace=self.pace,
        )
        self.objects: Any = made.ocirepositories()
        self.secrets: Any = made.referenced("Secret")


def _object(**fields: Any) -> ocirepository.OCIRepository:
    known: dict[str, Any] = {"name": "one", "namespace": "apps", "uid": "u", "generation": 1}
    return ocirepository.OCIRepository(metadata=meta.ObjectMeta(**(known | fields)))


@pytest.mark.parametrize(("is_initial", "priority"), [(True, INTERVAL), (False, USER)])
def test_new_objects_go_before_those_of_the_start(
    *, is_initial: bool, priority: requests.Priority
) -> None:
    """What a user has just created waits for no cold start."""
    scene = Scene()
    scene.objects.on_add(_object(), is_initial)
    assert scene.queue.added == [(ONE, priority)]


@pytest.mark.parametrize(
    "change",
    [
        {"labels": {"a": "b"}},
        {"annotations": {"note": "x"}},
        {"resource_version": "9"},
        {"finalizers": ("finalizers.fluxcd.io",)},
    ],
)
def test_edits_that_are_no_change_of_the_spec_queue_nothing(change: dict[str, Any]) -> None:
    """Labels, annotations, and what is written into status."""
    scene = Scene(ONE)
    new = msgspec.structs.replace(_object(**change), status=ocirepository.Status(url="http://h"))
    scene.objects.on_update(_object(), new)
    assert scene.queue.added == []
    assert scene.runs.cancelled == []


@pytest.mark.parametrize(
    "change", [{"generation": 2}, {"deletion_timestamp": "2022-06-14T11:23:36Z"}]
)
@pytest.mark.parametrize("is_in_work", [False, True])
def test_a_newer_generation_and_a_deletion_are_handled_at_once(
    change: dict[str, Any], *, is_in_work: bool
) -> None:
    """The back-off ends; a run for the older generation is called off, which runs it again."""
    scene = Scene(*([ONE] if is_in_work else []))
    scene.objects.on_update(_object(), _object(**change))
    assert scene.queue.forgotten == [ONE]
    assert scene.runs.cancelled == ([ONE] if is_in_work else [])
    assert scene.queue.added == ([] if is_in_work else [(ONE, USER)])


@pytest.mark.parametrize(
    ("old", "new", "is_queued"),
    [(None, "1", True), ("1", "2", True), (None, "", True), ("1", "1", False), ("1", None, False)],
)
def test_a_request_queues_when_its_token_is_new(
    old: str | None, new: str | None, *, is_queued: bool
) -> None:
    """Added or changed; a removed annotation asks for nothing. A run in work is left alone."""
    scene = Scene(ONE)

    def asking(token: str | None) -> ocirepository.OCIRepository:
        given = {} if token is None else {ocirepository.REQUESTED_AT: token}
        return _object(annotations=given)

    scene.objects.on_update(asking(old), asking(new))
    assert scene.queue.added == ([(ONE, USER)] if is_queued else [])
    assert scene.runs.cancelled == []


def test_an_object_that_goes_is_forgotten_and_tidied_up_after() -> None:
    """Its uses, its back-off; one more run removes what it left."""
    scene = Scene()
    scene.uses.record(ONE, frozenset({USE}))
    scene.objects.on_delete(_object())
    assert scene.uses.users(USE) == ()
    assert scene.queue.forgotten == [ONE]
    assert scene.queue.added == [(ONE, INTERVAL)]


@pytest.mark.parametrize("how", ["created", "in a first list", "changed", "deleted"])
def test_a_secret_queues_the_objects_that_read_it(how: str) -> None:
    """At once and whatever the back-off; others are left alone.

    A first list counts, too: a run may have read the Secret just before it was changed.
    """
    scene = Scene()
    scene.uses.record(ONE, frozenset({USE}))
    scene.uses.record(TWO, frozenset({triggers.use("Secret", "apps", "other")}))
    match how:
        case "changed":
            scene.secrets.on_update(PULL, PULL)
        case "deleted":
            scene.secrets.on_delete(PULL)
        case _:
            scene.secrets.on_add(PULL, how == "in a first list")
    assert scene.queue.added == [(ONE, USER)]
    assert scene.queue.forgotten == [ONE]


async def test_a_secret_that_changes_while_it_is_read_queues_its_reader() -> None:
    """Its first reader, too, whose uses are not known yet; afterwards only what was read counts."""
    scene = Scene()
    nothing: Any = None

    class Reader:
        """A Secret that is rotated just when it is read."""

        async def get(self, *_: object, **__: object) -> Any:
            """The old content."""
            scene.secrets.on_update(PULL, PULL)
            return resources.Secret(type="kubernetes.io/dockercfg")

    reader = access.AccessReader(
        client=Reader(), uses=scene.uses, recorder=nothing, cloud=nothing, log=nothing
    )
    spec = ocirepository.Spec(secret_ref=meta.LocalObjectReference(name="pull"))
    granted = await reader.read(msgspec.structs.replace(_object(), spec=spec))
    assert isinstance(granted.keychain, credentials.PullSecrets)
    assert scene.queue.added == [(ONE, USER)]
    await reader.read(_object())
    assert scene.uses.users(USE) == ()
