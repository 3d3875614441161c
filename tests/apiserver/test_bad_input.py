"""Whatever a client sends, it gets a Status with a fitting code, and never a traceback."""

import asyncio
import io
import json
import logging
import ssl
from typing import Any

import pytest
import yarl
from hypothesis import given
from hypothesis import strategies as st

from ocisource.apiserver.forms import bodies
from tests.apiserver import conftest
from tests.parts import fuzz

MAPS = conftest.CONFIG_MAPS
WIDGETS = conftest.WIDGETS
APPLY = "application/apply-patch+yaml"


async def refused(api: conftest.Api, answer: conftest.Answer, status: int) -> str:
    """The message of a refusal, whose form is checked; the server still lives."""
    assert answer.status == status, answer.body
    assert answer.doc["kind"] == "Status"
    assert answer.doc["status"] == "Failure"
    assert answer.doc["code"] == status
    assert "Traceback" not in answer.body.decode()
    assert (await api.get("/version")).status == 200
    message: str = answer.doc["message"]
    return message


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "unexpected end of JSON input (<empty>)"),
        (b"x", "invalid character 'x' looking for beginning of value (78)"),
        (b'{"a"', 'unexpected end of JSON input ({"a")'),
        (b'{"a": 1,}', "invalid character '}' looking for beginning of object key string"),
        (b"[]", "cannot unmarshal array into Go value of type struct"),
        (b'"x"', "cannot unmarshal string into Go value of type struct"),
        (b"{} {}", "invalid character '{' after top-level value"),
        (b'{"a": NaN}', "invalid character 'N' looking for beginning of value"),
        (b'{"a": "\xff"}', "must be of type ConfigMap"),
        (b'{"a":' * 5_000, "exceeded max depth"),
        (b"[" * 100_000, "exceeded max depth"),
    ],
)
async def test_malformed_json(api: conftest.Api, body: bytes, complaint: str) -> None:
    """The text is that of Go's decoder."""
    message = await refused(api, await api.send("POST", MAPS, body), 400)
    assert complaint in message
    assert len(message) < 500


def _bomb() -> str:
    """Eight lists, each of which holds the one before it nine times."""
    lines = ["a: &a [x,x,x,x,x,x,x,x,x]"]
    for before, name in zip("abcdefg", "bcdefgh", strict=True):
        inner = ",".join([f"*{before}"] * 9)
        lines.append(f"{name}: &{name} [{inner}]")
    return "\n".join(lines)


@pytest.mark.parametrize(
    "body",
    [
        _bomb(),
        "a: &a [*a]",
        "a: &a\n  <<: *a\n",
        "[" * 10_000,
        "- " * 10_000,
        "{a: " * 5_000,
        "a: b: c",
        "a: !!python/object:os.system [x]",
        "a: !!binary AAAA",
        "? [a, b]\n: c",
        "a: *nowhere",
        "--- a\n--- b",
        "\x00",
        "\t- a",
        "a: !!set {b, c}",
        "2001-01-01: x",
        "~: x",
    ],
)
async def test_hostile_yaml(api: conftest.Api, body: str) -> None:
    """Bombs, tags, keys that are no text: refused before anything is built from them."""
    path = MAPS + "/a?fieldManager=tests"
    answer = await api.patch(path, body.encode(), content_type=APPLY)
    await refused(api, answer, 400)


async def test_yaml_that_unfolds_a_little(api: conftest.Api) -> None:
    """Aliases as such are fine."""
    text = (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  one: &x text\n  two: *x\n"
    )
    answer = await api.patch(MAPS + "/a?fieldManager=tests", text, content_type=APPLY)
    assert answer.doc["data"] == {"one": "text", "two": "text"}


async def test_a_body_that_is_too_large(api: conftest.Api) -> None:
    """413 at three mebibytes, told by its length or found out while reading."""
    text = "x" * bodies.MAX_BODY
    large = json.dumps(conftest.config_map("a", data={"k": text}))
    headers = {"Authorization": f"Bearer {api.token}", "Content-Type": conftest.JSON}
    stream = io.BytesIO(large.encode())
    async with api.session.post(api.address + MAPS, data=stream, headers=headers) as sent:
        whole = conftest.Answer(sent.status, sent.headers, await sent.read())
    message = await refused(api, whole, 413)
    assert message == "Request entity too large: limit is 3145728"

    async def chunks() -> Any:
        for start in range(0, len(large), 65_536):
            yield large[start : start + 65_536].encode()

    async with api.session.post(api.address + MAPS, data=chunks(), headers=headers) as answer:
        assert answer.status == 413


@pytest.mark.parametrize("content_type", ["text/html", "application/xml", "multipart/form-data"])
async def test_media_types_nobody_reads(api: conftest.Api, content_type: str) -> None:
    """415 for bodies and patches."""
    for method, path in (("POST", MAPS), ("PATCH", MAPS + "/a"), ("PATCH", WIDGETS + "/w")):
        answer = await api.send(method, path, "x", content_type=content_type)
        await refused(api, answer, 415)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/nonsense", 404),
        ("GET", "/api/v1/namespaces/default/namespaces", 404),
        ("GET", "/api/v1/configmaps/a", 404),
        ("GET", WIDGETS + "/w/scale", 404),
        ("GET", MAPS + "/a/status", 404),
        ("GET", MAPS + "/a/b/c/d/e", 404),
        ("POST", "/api/v1/configmaps", 405),
        ("POST", MAPS + "/a", 405),
        ("PUT", MAPS, 405),
        ("DELETE", "/api/v1/namespaces", 405),
        ("OPTIONS", MAPS, 405),
        ("POST", "/version", 405),
        ("GET", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", 405),
        ("DELETE", "/api/v1/namespaces/default/serviceaccounts/a/token", 405),
        ("GET", "/api/v1/namespaces/default/finalize", 405),
    ],
)
async def test_paths_and_verbs_nobody_serves(
    api: conftest.Api, method: str, path: str, status: int
) -> None:
    """404 for what is not there, 405 for what cannot be done."""
    await refused(api, await api.send(method, path), status)


@pytest.mark.parametrize(
    "path", ["/apis/nowhere.io/v1", "/apis/example.com/v9/widgets", "/apis/example.com/v1/no"]
)
async def test_groups_nobody_serves(api: conftest.Api, path: str) -> None:
    """Plain text, as the real server says it."""
    answer = await api.get(path)
    assert (answer.status, answer.body.strip()) == (404, b"404 page not found")


@pytest.mark.parametrize(
    "metadata",
    [
        {"name": "A_b"},
        {"name": "a" * 254},
        {"name": "../../etc/passwd"},
        {"name": "a", "labels": {"-": "x"}},
        {"name": "a", "labels": {"x": "-"}},
        {"name": "a", "annotations": {"/": ""}},
        {"name": "a", "annotations": {"x": "y" * 300_000}},
        {"name": "a", "finalizers": ["no finalizer"]},
        {"name": "a", "ownerReferences": [{"name": "x"}]},
        {"generateName": "A_"},
        {},
    ],
)
async def test_metadata_that_breaks_the_rules(api: conftest.Api, metadata: dict[str, Any]) -> None:
    """422 with the field, for built-in and custom kinds alike."""
    for path, obj in ((MAPS, conftest.config_map("a")), (WIDGETS, conftest.widget("a"))):
        answer = await api.send("POST", path, {**obj, "metadata": metadata})
        await refused(api, answer, 422)
        assert answer.doc["details"]["causes"][0]["field"].startswith("metadata")


@pytest.mark.parametrize(
    "obj",
    [
        {"metadata": []},
        {"metadata": "x"},
        {"metadata": {"name": 3}},
        {"metadata": {"name": "a", "labels": {"a": 1}}},
        {"metadata": {"name": "a", "labels": []}},
        {"metadata": {"name": "a", "finalizers": "x"}},
        {"metadata": {"name": "a", "managedFields": [{"fieldsV1": 3}]}},
        {"metadata": {"name": "a", "creationTimestamp": "yesterday"}},
        {"kind": 3, "metadata": {"name": "a"}},
        {"apiVersion": [], "metadata": {"name": "a"}},
    ],
)
async def test_metadata_of_the_wrong_type(api: conftest.Api, obj: dict[str, Any]) -> None:
    """400: it cannot be decoded."""
    for path, whole in ((MAPS, conftest.config_map("a")), (WIDGETS, conftest.widget("a"))):
        await refused(api, await api.send("POST", path, {**whole, **obj}), 400)


async def test_a_request_that_is_no_http(api: conftest.Api) -> None:
    """A Status, without what was sent: a token might stand in it."""
    host, _, port = api.address.removeprefix("https://").partition(":")
    context = ssl.create_default_context(cafile=str(api.data_dir / "pki" / "ca.crt"))
    for sent in (b"FOO / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nBad Header: secret\r\n\r\n"):
        reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
        writer.write(sent)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        assert answer.partition(b" ")[2].startswith(b"400 ")
        assert b'"kind":"Status"' in answer
        assert b"secret" not in answer


async def test_plain_http_on_the_port(api: conftest.Api) -> None:
    """No TLS, no answer; the server lives on."""
    host, _, port = api.address.removeprefix("https://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
    with_nothing = await reader.read()
    writer.close()
    assert b"gitVersion" not in with_nothing
    assert (await api.get("/version")).status == 200


_words = st.sampled_from(
    [
        *("api", "apis", "v1", "namespaces", "default", "configmaps", "widgets", "example.com"),
        *("watch", "status", "finalize", "token", "serviceaccounts", "events", "secrets", "a"),
        *("..", "%2e%2e", "%00", "%2F", "", "%C3%A9", "selfsubjectaccessreviews", "openapi", "v3"),
    ]
)
_paths = st.lists(_words, max_size=7).map(lambda words: "/" + "/".join(words))
_queries = st.dictionaries(
    st.sampled_from(
        [
            *("limit", "continue", "resourceVersion", "resourceVersionMatch", "labelSelector"),
            *("fieldSelector", "dryRun", "fieldManager", "force", "fieldValidation", "pretty"),
            *("propagationPolicy", "orphanDependents", "gracePeriodSeconds", "includeObject"),
            *("sendInitialEvents", "allowWatchBookmarks"),
        ]
    ),
    st.sampled_from(["", "0", "1", "-1", "x", "All", "true", "Strict", "a=b", "a in (", "Exact"]),
    max_size=3,
)
_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
_documents = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("metadata", "name", "labels", "spec", "data", "status", "kind", "a"),
                    *("apiVersion", "finalizers", "managedFields", "ownerReferences", "size"),
                    *("preconditions", "op", "path", "value", "$patch", "$setElementOrder/data"),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)
_bodies = (
    st.binary(max_size=30)
    | st.text(max_size=30).map(lambda text: text.encode(errors="replace"))
    | _documents.map(lambda value: json.dumps(value).encode())
    | _documents.map(lambda value: json.dumps({**conftest.widget("a"), "spec": value}).encode())
    | _documents.map(lambda value: b"k8s\x00" + json.dumps(value).encode())
)
_methods = st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
_types = st.sampled_from([*bodies.OBJECT_TYPES, *bodies.PATCH_TYPES, "text/plain", "", "a/b;c"])
_accepts = st.sampled_from(
    ["", "*/*", conftest.JSON, conftest.TABLE, "text/html", "application/yaml", ";;,;q=x", "é"]
)
_fuzzed = st.tuples(_methods, _paths, _queries, _bodies, _types, _accepts)


@fuzz.counted(full=2_000, reduced=40)
@given(requests=st.lists(_fuzzed, min_size=5, max_size=25))
def test_any_request(
    tmp_path_factory: pytest.TempPathFactory,
    requests: list[tuple[str, str, dict[str, str], bytes, str, str]],
) -> None:
    """Hostile methods, paths, queries, headers and bodies, one after the other."""
    complaints = _Complaints()
    logger = logging.getLogger("ocisource")

    async def run() -> None:
        folder = tmp_path_factory.mktemp("fuzz")
        async with conftest.started(folder, manifests=[conftest.widget_definition()]) as api:
            for method, path, query, body, content_type, accept in requests:
                await _check(api, method, path, query, body, content_type, accept)

    logger.addHandler(complaints)
    try:
        asyncio.run(run())
    finally:
        logger.removeHandler(complaints)
    assert not complaints.texts


class _Complaints(logging.Handler):
    """What the server logs as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the text."""
        self.texts.append(self.format(record))


async def _check(
    api: conftest.Api,
    method: str,
    path: str,
    query: dict[str, str],
    body: bytes,
    content_type: str,
    accept: str,
) -> None:
    asked = "&".join(f"{key}={value}" for key, value in query.items()).replace(" ", "%20")
    headers = {
        "Authorization": f"Bearer {api.token}",
        "Content-Type": content_type or conftest.JSON,
        "Accept": accept.encode(errors="ignore").decode("latin-1"),
    }
    url = yarl.URL(f"{api.address}{path}?{asked}", encoded=True)
    async with api.session.request(method, url, data=body or None, headers=headers) as sent:
        # A watch goes on: its beginning is enough.
        text = await sent.read() if "Content-Length" in sent.headers else b""
    answer = conftest.Answer(sent.status, sent.headers, text)
    assert answer.status < 500 or "code" in answer.doc, answer.body
    assert b"Traceback" not in answer.body
    assert b"unexpected failure" not in answer.body
    if answer.status >= 400 and method != "HEAD" and answer.body != b"404 page not found\n":
        assert answer.doc["code"] == answer.status


@pytest.mark.parametrize(
    "head",
    [
        b"GET /version HTTP/1.1\r\nHost: [::1\r\n",
        b"GET /version HTTP/1.1\r\nHost: a b\r\n",
        b"GET /version HTTP/1.1\r\nHost:\r\n",
        b"GET https://elsewhere.example/version HTTP/1.1\r\nHost: x\r\n",
        b"GET //version HTTP/1.1\r\nHost: x\r\n",
        b"GET /version? HTTP/1.1\r\nHost: x\r\n",
        b"GET /version?%zz=%&&=&a HTTP/1.1\r\nHost: x\r\n",
    ],
)
async def test_strange_heads(api: conftest.Api, head: bytes) -> None:
    """Where a request says it goes does not matter; it is answered or refused, not dropped."""
    host, _, port = api.address.removeprefix("https://").partition(":")
    context = ssl.create_default_context(cafile=str(api.data_dir / "pki" / "ca.crt"))
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
    writer.write(head + f"Authorization: Bearer {api.token}\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert b"unexpected failure" not in answer
    assert b"gitVersion" in answer or b'"kind":"Status"' in answer
