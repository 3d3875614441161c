"""Raw requests get the same answers from the embedded server as from a real kube-apiserver."""

import json
import pathlib
import uuid

from tests.conformance import differences, http_script, kubectl_script, subjects
from tests.parts import kubernetes, processes

GROUP = "raw.example.com"
_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def prepare(subject: subjects.Subject, namespace: str) -> None:
    """Make the namespace and the widgets' definition on a server."""
    headers = http_script.authorization(subject) | {"Content-Type": "application/json"}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    for path, document in (("/api/v1/namespaces", body), (_PATH, kubectl_script.widgets(GROUP))):
        data = json.dumps(document).encode()
        answer = http_script.request(subject, "POST", path, data, headers=headers)
        assert answer.status in {201, 409}, answer.body
    resource = f"/apis/{GROUP}/v1/widgets"

    def is_served() -> bool:
        return http_script.request(subject, "GET", resource, headers=headers).status == 200

    processes.poll(is_served, what=resource)


def test_requests_get_the_same_answers_from_both_servers(
    tmp_path: pathlib.Path, control_plane: kubernetes.ControlPlane
) -> None:
    """Every case: status, media type, warning and body, but for the listed differences."""
    cases = http_script.load()
    names = [case.name for case in cases]
    assert len(set(names)) == len(names)
    tolerated = differences.load("http")
    assert not set(tolerated) - set(names)
    namespace = f"http-{uuid.uuid4().hex[:8]}"
    with subjects.embedded(tmp_path / "data") as embedded:
        real = subjects.real(control_plane)
        for subject in (embedded, real):
            prepare(subject, namespace)
        ours = http_script.run(embedded, cases, namespace=namespace)
        theirs = http_script.run(real, cases, namespace=namespace)
    verdicts = (differences.verdict(name, ours[name], theirs[name], tolerated) for name in names)
    problems = list(filter(None, verdicts))
    assert not problems, "\n".join(problems)
