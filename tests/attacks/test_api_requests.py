"""Hostile requests to the embedded API: a Status and a code, never a failure of ours."""

import contextlib
import http.client
import json
import logging
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

from tests.conformance import http_script, subjects

_SECONDS = 20.0
_ANSWER_BYTES = 1 << 22
# A real API server calls this an internal error, too; its other answers with code 500 have no
# reason (the cases of tests/conformance hold them against one).
_HONEST = "Object 'apiVersion' is missing"
_HOSTILE = ["", " ", "..", "%2e%2e", "%00", "a/b", "A_B", "x" * 300, "é", "'", '"', "\\", "*", "-"]
_WORDS = [
    "api",
    "apis",
    "v1",
    "v9",
    "namespaces",
    "default",
    "configmaps",
    "secrets",
    "events",
    "serviceaccounts",
    "leases",
    "customresourcedefinitions",
    "selfsubjectaccessreviews",
    "apiextensions.k8s.io",
    "coordination.k8s.io",
    "events.k8s.io",
    "authorization.k8s.io",
    "source.toolkit.fluxcd.io",
    "ocirepositories",
    "status",
    "finalize",
    "token",
    "watch",
    "openapi",
    "v2",
    "v3",
    "version",
    "healthz",
    "x",
]
_PLACES = [
    "/api/v1/namespaces",
    "/api/v1/namespaces/x",
    "/api/v1/namespaces/default/configmaps",
    "/api/v1/namespaces/default/configmaps/x",
    "/api/v1/namespaces/default/secrets/x",
    "/api/v1/namespaces/default/events/x",
    "/api/v1/namespaces/default/serviceaccounts/x/token",
    "/apis/events.k8s.io/v1/namespaces/default/events/x",
    "/apis/coordination.k8s.io/v1/namespaces/default/leases/x",
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/xs.ex.io",
    "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
    "/apis/source.toolkit.fluxcd.io/v1/namespaces/default/ocirepositories",
    "/apis/source.toolkit.fluxcd.io/v1/namespaces/default/ocirepositories/x",
    "/apis/source.toolkit.fluxcd.io/v1/namespaces/default/ocirepositories/x/status",
    "/apis/source.toolkit.fluxcd.io/v1beta2/namespaces/default/ocirepositories/x",
]
_PARAMETERS = [
    "allowWatchBookmarks",
    "continue",
    "dryRun",
    "fieldManager",
    "fieldSelector",
    "fieldValidation",
    "force",
    "gracePeriodSeconds",
    "includeObject",
    "labelSelector",
    "limit",
    "orphanDependents",
    "pretty",
    "propagationPolicy",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "watch",
]
_VALUES = [
    "true",
    "false",
    "All",
    "Strict",
    "Warn",
    "0",
    "1",
    "-1",
    "99999999999999999999",
    "a=b",
    "a in (b,c)",
    "metadata.name=x",
    "involvedObject.name=x",
    "Exact",
    "NotOlderThan",
    "Background",
    "Foreground",
    "Orphan",
    "eyJ2IjoibWV0YSJ9",
]
_TYPES = [
    "application/json",
    "application/yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
    "application/vnd.kubernetes.protobuf",
    "text/plain",
    "",
    "application/json; charset=utf-8",
    "x",
]
_ACCEPTS = [
    "application/json",
    "application/yaml",
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json",
    "application/vnd.kubernetes.protobuf",
    "*/*",
    "text/html",
    ",;=;,q=",
    "application/json;q=nan",
]
_BOMB = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n" % (c, c, *([c - 1] * 9))
    for c in range(ord("b"), ord("j"))
)
_RAW = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"3",
    b'"x"',
    b"[" * 20000,
    b'{"a":' * 5000,
    b"\x00\xff",
    b"k8s\x00",
    b"k8s\x00\x0a\xff\xff\xff\xff\x0f",
    _BOMB,
    b"a: !!python/object/apply:os.system [id]",
    b"{a: b, a: c}",
    b"--- a\n--- b\n",
    b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"a":1e400}}',
    b'{"metadata":{"name":"\\ud800"}}',
    b'{"x":' + b"9" * 5000 + b"}",
]
_KINDS = [
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("v1", "Namespace"),
    ("v1", "Event"),
    ("events.k8s.io/v1", "Event"),
    ("v1", "DeleteOptions"),
    ("coordination.k8s.io/v1", "Lease"),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
    ("source.toolkit.fluxcd.io/v1", "OCIRepository"),
    ("authentication.k8s.io/v1", "TokenRequest"),
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview"),
    ("x", "Y"),
]
_MEMBERS = [
    "metadata",
    "name",
    "namespace",
    "generateName",
    "labels",
    "annotations",
    "finalizers",
    "ownerReferences",
    "managedFields",
    "resourceVersion",
    "uid",
    "deletionTimestamp",
    "spec",
    "status",
    "data",
    "stringData",
    "type",
    "url",
    "interval",
    "versions",
    "names",
    "schema",
    "openAPIV3Schema",
    "preconditions",
    "propagationPolicy",
    "eventTime",
    "involvedObject",
    "$patch",
    "op",
    "path",
    "value",
    "from",
]

_segments = st.sampled_from(_WORDS) | st.sampled_from(_HOSTILE).map(urllib.parse.quote)
_paths = st.sampled_from(_PLACES) | st.lists(_segments, max_size=8).map(
    lambda parts: "/" + "/".join(parts)
)
_queries = st.lists(
    st.tuples(
        st.sampled_from(_PARAMETERS),
        st.sampled_from(_VALUES) | st.sampled_from(_HOSTILE) | st.text(max_size=12),
    ),
    max_size=4,
)
_json: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["x", "default", "v1", "add", "/metadata/labels", "2020-01-01T00:00:00Z"])
    | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(_MEMBERS) | st.text(max_size=4), inner, max_size=5)
    ),
    max_leaves=20,
)


@st.composite
def _objects(draw: st.DrawFn) -> bytes:
    version, kind = draw(st.sampled_from(_KINDS))
    obj = draw(st.dictionaries(st.sampled_from(_MEMBERS), _json, max_size=4))
    if draw(st.booleans()):
        obj["metadata"] = {"name": "x", **draw(st.dictionaries(st.sampled_from(_MEMBERS), _json))}
    return json.dumps({"apiVersion": version, "kind": kind, **obj}).encode()


_bodies = (
    st.none()
    | st.sampled_from(_RAW)
    | _objects()
    | _json.map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=40)
)


class _Failures(logging.Handler):
    """Keeps what the server logs as a failure of its own."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(self.format(record))


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subjects.Subject]:
    """One embedded server for all requests."""
    with subjects.embedded(tmp_path_factory.mktemp("api") / "data") as subject:
        yield subject


@pytest.fixture
def failures() -> Iterator[_Failures]:
    """What the server logs as a failure of its own."""
    handler = _Failures()
    logger = logging.getLogger("ocisource")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@contextlib.contextmanager
def _sent(
    subject: subjects.Subject, method: str, target: str, body: bytes | None, **headers: str
) -> Iterator[http.client.HTTPResponse]:
    connection = http_script.connect(subject)
    connection.timeout = _SECONDS
    every = http_script.authorization(subject) | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    try:
        connection.request(method, target, body, every)
        yield connection.getresponse()
    finally:
        connection.close()


def _check(response: http.client.HTTPResponse, *, has_body: bool = True) -> None:
    """A success, or a Status with the answer's own code; a 500 only where a real server has it."""
    status = response.status
    if status < http.client.BAD_REQUEST:
        return
    body = response.read(_ANSWER_BYTES)
    assert b"Traceback" not in body
    if not has_body:
        return
    if not response.headers.get("Content-Type", "").startswith("application/json"):
        assert status == http.client.NOT_FOUND
        return
    document = json.loads(body)
    assert document["kind"] == "Status"
    assert document["code"] == status
    is_ours = document.get("reason") == "InternalError" and _HONEST not in document["message"]
    assert not is_ours, document


def test_no_request_makes_the_server_fail(
    embedded: subjects.Subject, failures: _Failures, counts: Callable[[int, int], int]
) -> None:
    """Any method, path, query, headers and body: an answer that a client understands."""

    @hypothesis.settings(
        max_examples=counts(5000, 300),
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
    @hypothesis.given(
        method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]),
        path=_paths,
        query=_queries,
        content_type=st.sampled_from(_TYPES),
        accept=st.sampled_from(_ACCEPTS),
        body=_bodies,
    )
    def check(
        method: str,
        path: str,
        query: list[tuple[str, str]],
        content_type: str,
        accept: str,
        body: bytes | None,
    ) -> None:
        # A watch ends by itself, at once.
        encoded = urllib.parse.urlencode([*query, ("timeoutSeconds", "1")], errors="replace")
        headers = {"Content_Type": content_type, "Accept": accept}
        with _sent(embedded, method, f"{path}?{encoded}", body, **headers) as response:
            _check(response, has_body=method != "HEAD")
        assert not failures.records

    check()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("labelSelector", "a in (" + ",".join(["b"] * 20000) + ")"),
        ("labelSelector", "(" * 10000),
        ("labelSelector", ",".join(["a=b"] * 10000)),
        ("fieldSelector", ",".join(["metadata.name=x"] * 5000)),
        ("continue", "A" * 30000),
        ("resourceVersion", "9" * 5000),
        ("limit", "9" * 5000),
    ],
)
def test_long_parameters_are_answered(
    embedded: subjects.Subject, failures: _Failures, name: str, value: str
) -> None:
    """However long a selector or token is, there is an answer within the time allowed."""
    target = f"/api/v1/configmaps?{urllib.parse.urlencode({name: value})}"
    with _sent(embedded, "GET", target, None) as response:
        _check(response)
    assert not failures.records


@pytest.mark.parametrize("content_type", ["application/json", "application/yaml"])
def test_bodies_beyond_the_bound_are_refused(
    embedded: subjects.Subject, failures: _Failures, content_type: str
) -> None:
    """A body of several MiB is refused before it is understood."""
    body = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"big"},"data":{"a":"'
    body += b"x" * (4 << 20) + b'"}}'
    target = "/api/v1/namespaces/default/configmaps"
    with _sent(embedded, "POST", target, body, Content_Type=content_type) as response:
        assert response.status == http.client.REQUEST_ENTITY_TOO_LARGE
        _check(response)
    assert not failures.records
