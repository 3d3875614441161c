"""Stock kubectl prints the same with the embedded server as with a real kube-apiserver."""

import concurrent.futures
import pathlib

from tests.conformance import differences, kubectl_script, subjects
from tests.parts import kubernetes

_FEWEST_STEPS = 120


def test_kubectl_prints_the_same_against_both_servers(
    tmp_path: pathlib.Path, control_plane: kubernetes.ControlPlane
) -> None:
    """Every step of the script: stdout, stderr and exit code, but for the listed differences."""
    client = subjects.minor_of(subjects.find_kubectl(), tmp_path / "home")
    steps = kubectl_script.load(client=client)
    assert len(steps) >= _FEWEST_STEPS
    assert len({step.name for step in steps}) == len(steps)
    tolerated = differences.load("kubectl", client=client)
    assert not set(tolerated) - {step.name for step in steps}
    real = subjects.real(control_plane)
    with (
        subjects.embedded(tmp_path / "data") as embedded,
        concurrent.futures.ThreadPoolExecutor(2) as pool,
    ):
        runs = [
            pool.submit(kubectl_script.run, subject, steps, home=tmp_path / subject.name)
            for subject in (embedded, real)
        ]
        ours, theirs = (each.result() for each in runs)
    verdicts = (
        differences.verdict(step.name, ours[step.name], theirs[step.name], tolerated)
        for step in steps
    )
    problems = list(filter(None, verdicts))
    assert not problems, "\n".join(problems)
