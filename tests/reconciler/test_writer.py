"""Writing to an object that others write to as well: conflicts, newer generations, objects gone."""

import json
from typing import Any

import msgspec
import pytest

from ocisource import errors
from ocisource.api import conditions, meta, ocirepository
from ocisource.kube import resources
from ocisource.reconciler import steps, writer

RESOURCE = resources.Resource(
    ocirepository.GROUP,
    "v1",
    ocirepository.PLURAL,
    ocirepository.KIND,
    ocirepository.OCIRepository,
)
CONFLICT = errors.APIStatusError("the object has been modified", code=409)
replace = msgspec.structs.replace


def _condition(type_: str, message: str = "") -> conditions.Condition:
    return conditions.Condition(type=type_, status="True", reason="R", message=message)


def _object(version: int, *found: conditions.Condition, **fields: Any) -> Any:
    metadata: dict[str, Any] = {"name": "podinfo", "uid": "u", "generation": 1} | fields
    return ocirepository.OCIRepository(
        metadata=meta.ObjectMeta(resource_version=str(version), **metadata),
        status=ocirepository.Status(conditions=found),
    )


class API:
    """An API server that answers patches by a script; ``live`` is the object as others left it."""

    def __init__(self, live: Any, *script: Exception | None) -> None:
        self.live = live
        self.script = list(script)
        self.patches: list[dict[str, Any]] = []

    async def get(self, *_: object, **__: object) -> Any:
        """The live object, if there is one."""
        if self.live is None:
            raise errors.APIStatusError("not found", code=404)
        return self.live

    async def patch(self, *given: Any, **_: object) -> Any:
        """The next answer of the script."""
        _, _, change = given
        self.patches.append(json.loads(change.body))
        if (failure := self.script.pop(0)) is not None:
            raise failure
        return self.live


def _writer(api: API, pauses: list[float]) -> writer.Writer:
    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    return writer.Writer(client=api, resource=RESOURCE, on_written=lambda _: None, sleep=sleep)


async def test_a_conflict_is_tried_again_on_what_the_others_wrote() -> None:
    """Their condition stays, ours wins, and the second patch is made from the newer version."""
    theirs = _condition("Audited", "all is well")
    api = API(_object(7, theirs, _condition("FetchFailed", "old")), CONFLICT, None)
    pauses: list[float] = []
    wanted = ocirepository.Status(url="http://host/one", conditions=(_condition("Ready", "new"),))
    await _writer(api, pauses).write_status(_object(5), wanted)
    first, second = api.patches
    assert first["metadata"] == {"resourceVersion": "5"}
    assert second["metadata"] == {"resourceVersion": "7"}
    written = {c["type"]: c["message"] for c in second["status"]["conditions"]}
    assert written == {"Ready": "new", "Audited": "all is well"}
    assert second["status"]["url"] == "http://host/one"
    assert pauses == [writer.CONFLICT_PAUSE]


async def test_a_conflict_that_stays_is_given_up_and_raised() -> None:
    """The queue's back-off goes on from there."""
    api = API(_object(7), *[CONFLICT] * writer.CONFLICT_TRIES)
    pauses: list[float] = []
    with pytest.raises(steps.StepFailedError, match="modified") as caught:
        await _writer(api, pauses).write_status(_object(5), ocirepository.Status(url="http://h/1"))
    assert (caught.value.condition, caught.value.reason) == (None, "PatchOperationFailed")
    assert len(api.patches) == writer.CONFLICT_TRIES
    assert pauses == [writer.CONFLICT_PAUSE] * (writer.CONFLICT_TRIES - 1)


@pytest.mark.parametrize(
    ("live", "text"),
    [
        (None, "the object is gone"),
        (_object(7, generation=2), "newer generation"),
        (_object(7, uid="another"), "newer generation"),
    ],
)
async def test_what_was_found_for_another_object_is_not_written(live: Any, text: str) -> None:
    """Gone, made anew under its name, or of a newer generation: the run is abandoned."""
    api = API(live, CONFLICT)
    with pytest.raises(errors.AbandonedError, match=text):
        await _writer(api, []).write_status(_object(5), ocirepository.Status(url="http://h/1"))
    assert len(api.patches) == 1


async def test_what_is_there_already_is_not_written() -> None:
    """Nothing changed, or a conflict shows that somebody wrote the same."""
    same = _object(5, _condition("Ready"))
    api = API(same)
    assert await _writer(api, []).write_status(same, same.status) is same
    assert api.patches == []
    status = replace(same.status, url="http://host/one")
    api = API(replace(same, status=status), CONFLICT)
    assert await _writer(api, []).write_status(same, status) is api.live
    assert len(api.patches) == 1
