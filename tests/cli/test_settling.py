"""What `up --once` takes for settled, without any controller."""

import asyncio
import dataclasses
import typing
from collections.abc import Iterator

import pytest

from ocisource import errors
from ocisource.api import conditions, meta, ocirepository
from ocisource.cli.machines import machine, settling

SECONDS = 0.05


@dataclasses.dataclass
class Objects:
    """An informer that has seen these."""

    found: list[ocirepository.OCIRepository]

    async def wait_synced(self) -> None:
        """There is nothing to wait for."""

    def __iter__(self) -> Iterator[ocirepository.OCIRepository]:
        return iter(self.found)


@dataclasses.dataclass
class Api:
    """Takes patches, or refuses them."""

    refusal: errors.APIStatusError | None = None
    patched: list[str] = dataclasses.field(default_factory=list)

    async def patch(self, _resource: object, name: str, *_: object, **__: object) -> None:
        """Note whose."""
        if self.refusal is not None:
            raise self.refusal
        self.patched.append(name)


def source(name: str, kind: str, *, suspend: bool = False) -> ocirepository.OCIRepository:
    """A source with one condition that is True."""
    condition = conditions.Condition(
        type=kind, status="True", reason="Any", message="as it was", observed_generation=1
    )
    return ocirepository.OCIRepository(
        metadata=meta.ObjectMeta(name=name, namespace="default", generation=1),
        spec=ocirepository.Spec(url="oci://a.b/c", interval="1m", suspend=suspend),
        status=ocirepository.Status(observed_generation=1, conditions=(condition,)),
    )


async def settled(api: Api, *found: ocirepository.OCIRepository, seconds: float = SECONDS) -> int:
    """Wait for these; the exit code."""

    @dataclasses.dataclass
    class Here:
        api: Api
        objects: Objects

    here = typing.cast("machine.Machine", Here(api, Objects(list(found))))
    waiting = settling.Settling(here=here, wanted=frozenset())
    return await waiting.wait(seconds, asyncio.Event())


async def test_what_an_earlier_run_left_ready_is_asked_for_and_waited_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without an answer it is no success, and the line says that it is old news."""
    api = Api()
    assert await settled(api, source("a", conditions.READY)) == 1
    assert api.patched == ["a"]
    told = "✗ a: not looked at again in time; before this run: as it was\n"
    assert capsys.readouterr().err == told


async def test_a_suspended_source_is_neither_asked_for_nor_waited_for() -> None:
    """Whoever suspended it knows."""
    api = Api()
    assert await settled(api, source("a", "Other", suspend=True), seconds=60.0) == 0
    assert api.patched == []


async def test_a_stalled_source_ends_it_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing to wait for."""
    assert await settled(Api(), source("a", conditions.STALLED), seconds=60.0) == 1
    assert capsys.readouterr().err == "✗ a: waiting to be reconciled\n"


async def test_a_source_that_is_deleted_meanwhile_is_no_failure() -> None:
    """It will not be seen much longer."""
    gone = errors.APIStatusError("not found", code=404, reason="NotFound")
    assert await settled(Api(refusal=gone), source("a", conditions.READY), seconds=60.0) == 0


async def test_any_other_refusal_is_told() -> None:
    """Such as a full disk."""
    full = errors.APIStatusError("database or disk is full", code=500)
    with pytest.raises(errors.APIStatusError, match="full"):
        await settled(Api(refusal=full), source("a", conditions.READY), seconds=60.0)
