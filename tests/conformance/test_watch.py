"""Watches tell the same of the same changes on the embedded server as on a real one."""

import concurrent.futures
import pathlib
import uuid

from tests.conformance import differences, subjects, test_http, watch_script
from tests.parts import kubernetes


def _run(subject: subjects.Subject, namespace: str) -> dict[str, dict[str, object]]:
    scene = watch_script.Scene(subject, namespace)
    return {each.__name__: {"told": each(scene)} for each in watch_script.SCENES}


def test_watches_tell_the_same_on_both_servers(
    tmp_path: pathlib.Path, control_plane: kubernetes.ControlPlane
) -> None:
    """Every scene: the events in their order, but for the listed differences."""
    tolerated = differences.load("watch")
    names = [each.__name__ for each in watch_script.SCENES]
    assert not set(tolerated) - set(names)
    namespace = f"watch-{uuid.uuid4().hex[:8]}"
    with (
        subjects.embedded(tmp_path / "data") as embedded,
        concurrent.futures.ThreadPoolExecutor(2) as pool,
    ):
        real = subjects.real(control_plane)
        for subject in (embedded, real):
            test_http.prepare(subject, namespace)
        runs = [pool.submit(_run, subject, namespace) for subject in (embedded, real)]
        ours, theirs = (each.result() for each in runs)
    verdicts = (differences.verdict(name, ours[name], theirs[name], tolerated) for name in names)
    problems = list(filter(None, verdicts))
    assert not problems, "\n".join(problems)
