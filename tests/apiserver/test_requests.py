"""Requests as values: paths, media types and options."""

import pytest

from ocisource import errors
from ocisource.apiserver import requests
from ocisource.apiserver.forms import negotiation

_TABLE = "application/json;as=Table;g=meta.k8s.io"
KUBECTL = f"{_TABLE};v=v1,{_TABLE};v=v1beta1,application/json"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/v1/pods", ("", "v1", "pods", "", "", "", False)),
        ("/api/v1/namespaces", ("", "v1", "namespaces", "", "", "", False)),
        ("/api/v1/namespaces/n", ("", "v1", "namespaces", "", "n", "", False)),
        ("/api/v1/namespaces/n/status", ("", "v1", "namespaces", "", "n", "status", False)),
        ("/api/v1/namespaces/n/finalize", ("", "v1", "namespaces", "", "n", "finalize", False)),
        ("/api/v1/namespaces/n/pods", ("", "v1", "pods", "n", "", "", False)),
        ("/api/v1/namespaces/n/pods/p/log", ("", "v1", "pods", "n", "p", "log", False)),
        ("/apis/g.io/v1/things/t", ("g.io", "v1", "things", "", "t", "", False)),
        ("/apis/g.io/v1/namespaces/n/status", ("g.io", "v1", "status", "n", "", "", False)),
        ("/api/v1/watch/pods", ("", "v1", "pods", "", "", "", True)),
        ("/api/v1/watch/namespaces/n/pods/p", ("", "v1", "pods", "n", "p", "", True)),
        ("/api/v1/pods/", ("", "v1", "pods", "", "", "", False)),
        ("/api/v1/watch", ("", "v1", "watch", "", "", "", False)),
    ],
)
def test_reads_paths(path: str, expected: tuple[object, ...]) -> None:
    """Group, version, resource, namespace, name, subresource, and whether it is a watch."""
    target = requests.Target.parse(path)
    assert target == requests.Target(*expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "path", ["/", "/api", "/api/v1", "/apis/g/v1", "/version", "/api/v1/a/b/c/d", "/foo/v1/a"]
)
def test_knows_what_is_no_resource_path(path: str) -> None:
    """Documents have paths of their own."""
    assert requests.Target.parse(path) is None


@pytest.mark.parametrize(
    ("accept", "shape", "version"),
    [
        ("", "", ""),
        ("*/*", "", ""),
        ("application/json", "", ""),
        (KUBECTL, "Table", "v1"),
        ("application/json;as=Table;v=v1beta1;g=meta.k8s.io", "Table", "v1beta1"),
        ("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", "", ""),
        ("application/json;as=Chair;v=v1;g=meta.k8s.io, */*", "", ""),
        ("application/vnd.kubernetes.protobuf,application/json", "", ""),
        ("application/json;q=0.1,application/json;as=Table;v=v1;g=meta.k8s.io", "Table", "v1"),
        ('application/json;as="Table";v=v1;g=meta.k8s.io;q=x', "Table", "v1"),
    ],
)
def test_chooses_a_form(accept: str, shape: str, version: str) -> None:
    """The first that the client likes best and the server can write."""
    form = negotiation.choose(accept, shapes=negotiation.OBJECT_SHAPES)
    assert (form.media_type, form.shape, form.version) == ("application/json", shape, version)


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "application/vnd.kubernetes.protobuf",
        "application/json;q=0",
        "application/json;as=Table;v=v9;g=meta.k8s.io",
        "application/json;as=APIGroupDiscoveryList;v=v2;g=apidiscovery.k8s.io",
        ";",
    ],
)
def test_refuses_other_forms(accept: str) -> None:
    """406."""
    with pytest.raises(
        errors.APIStatusError, match=r"Not Acceptable|media types are accepted"
    ) as caught:
        negotiation.choose(accept, shapes=negotiation.OBJECT_SHAPES)
    assert caught.value.code == 406


@pytest.mark.parametrize(
    ("user_agent", "manager"),
    [
        ("kubectl/v1.32.4 (linux/amd64) kubernetes/4cb5f07", "kubectl"),
        ("flux", "flux"),
        ("", "unknown"),
        ("\x00\x01/2", "unknown"),
        ("x" * 200, "x" * 128),
    ],
)
def test_names_managers_after_their_programs(user_agent: str, manager: str) -> None:
    """When nobody says who writes."""
    assert requests.manager_of(user_agent) == manager
