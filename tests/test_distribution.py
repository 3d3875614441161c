"""What the tests share when they run side by side."""

import pytest

from tests import distribution


def test_whoever_uses_a_control_plane_is_beside_its_other_users(
    request: pytest.FixtureRequest,
) -> None:
    """So that each is started once; who is named here is missing in ``distribution.scope``."""
    apart = [
        item.nodeid
        for item in request.session.items
        for plane in distribution.PLANES
        if plane in getattr(item, "fixturenames", ()) and distribution.scope(item.nodeid) != plane
    ]
    assert apart == []


@pytest.mark.parametrize(
    ("nodeid", "scope"),
    [
        ("tests/cli/test_get.py::test_a[kubernetes]", "control_plane"),
        ("tests/reconciler/test_life.py::test_a[x-kubernetes]", "control_plane"),
        ("tests/conformance/test_client.py::test_a[kube-apiserver-1]", "control_plane"),
        ("tests/cli/test_get.py::test_a[embedded]", "tests/cli/test_get.py"),
        ("tests/oci/test_a.py::test_a[what kubernetes says]", "tests/oci/test_a.py"),
        ("tests/e2e/test_kubernetes_pod.py::test_a", "own_plane"),
        ("tests/e2e/test_machine.py::test_a", "tests/e2e/test_machine.py"),
    ],
)
def test_a_plane_or_the_file_decides_on_the_worker(nodeid: str, scope: str) -> None:
    """A test that one fixture runs against every API server goes two ways."""
    assert distribution.scope(nodeid) == scope
