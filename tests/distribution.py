"""Which tests are one worker's, to run one after another, when several run side by side.

A file's tests are: what they share is made once. So are all tests of a control plane, which takes
seconds to start and half a gigabyte, and whose tests were written to have it for themselves.
"""

import re

from xdist.scheduler import loadscope

CONTROL_PLANE, OWN_PLANE = "control_plane", "own_plane"  # the fixtures' names
PLANES = (CONTROL_PLANE, OWN_PLANE)

# The parameter of a fixture that offers every API server, or a file that knows this one alone.
_ON_CONTROL_PLANE = re.compile(
    r"[\[-]kube(rnetes|-apiserver)[\]-]"
    r"|/conformance/test_(http|kubectl|watch)\.py"
    r"|/manifests/test_\w+_on_kubernetes\.py"
    r"|/(test_demo|test_golden_machine|test_impersonation|test_kubeconfig_beside_kubectl|test_least_rights|test_parts|test_reports)\.py"
)
_ON_OWN_PLANE = re.compile("/e2e/test_kubernetes_")


def scope(nodeid: str) -> str:
    """The name of what one worker runs: a control plane, or the test's file."""
    if _ON_OWN_PLANE.search(nodeid):
        return OWN_PLANE
    if _ON_CONTROL_PLANE.search(nodeid):
        return CONTROL_PLANE
    return nodeid.partition("::")[0]


class Scheduling(loadscope.LoadScopeScheduling):  # type: ignore[misc]
    """Hands out scopes, the first one first."""

    def _split_scope(self, nodeid: str) -> str:
        return scope(nodeid)
