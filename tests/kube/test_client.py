"""The client against an API that works, and one that does not."""

import asyncio
import base64
import re

import pytest

from ocisource import errors, metrics
from ocisource.api import meta
from ocisource.kube import answers, client, config, patch, resources
from tests.kube import conftest
from tests.simulators import faketime, kubeapi

ROOT = "api/v1/secrets"


def put(server: kubeapi.KubeAPI, name: str, **data: str) -> None:
    """Put a Secret into the server."""
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    server.put(ROOT, {"metadata": {"name": name, "namespace": "default"}, "data": encoded})


async def test_objects_are_read_created_patched_and_deleted(
    server: kubeapi.KubeAPI, new_client: conftest.NewClient
) -> None:
    """The verbs, typed; writes name their field manager."""
    api = new_client(field_manager="tester")
    made = await api.create(
        resources.SECRETS, {"metadata": {"name": "s"}, "data": {"k": "djE="}}, namespace="default"
    )
    assert made.data == {"k": b"v1"}
    change = patch.merge({"data": {"k": "djI="}})
    patched = await api.patch(resources.SECRETS, "s", change, namespace="default")
    assert patched.data == {"k": b"v2"}
    read = await api.get(resources.SECRETS, "s", namespace="default")
    assert read == patched
    await api.delete(resources.SECRETS, "s", namespace="default", uid=read.metadata.uid)
    with pytest.raises(errors.APIStatusError) as caught:
        await api.get(resources.SECRETS, "s", namespace="default")
    assert answers.is_not_found(caught.value)
    assert str(caught.value) == 'secrets "s" not found'
    managers = {seen.query.get("fieldManager") for seen in server.seen if seen.method != "GET"}
    assert managers == {"tester", None}
    assert server.seen[-2].body == (
        b'{"apiVersion":"v1","kind":"DeleteOptions","propagationPolicy":"Background",'
        b'"preconditions":{"uid":"' + read.metadata.uid.encode() + b'"}}'
    )


async def test_an_update_of_an_old_version_is_a_conflict(
    server: kubeapi.KubeAPI, new_client: conftest.NewClient
) -> None:
    """Told apart from a name that is taken."""
    api = new_client()
    made = await api.create(
        resources.LEASES, resources.Lease(metadata=meta.ObjectMeta(name="l")), namespace="default"
    )
    await api.patch(
        resources.LEASES, "l", patch.merge({"spec": {"leaseTransitions": 1}}), namespace="default"
    )
    with pytest.raises(errors.APIStatusError) as conflict:
        await api.update(resources.LEASES, "l", made, namespace="default")
    with pytest.raises(errors.APIStatusError) as taken:
        await api.create(resources.LEASES, made, namespace="default")
    assert answers.is_conflict(conflict.value)
    assert not answers.is_conflict(taken.value)
    assert answers.is_already_there(taken.value)


async def test_lists_come_in_pages_of_one_moment(
    server: kubeapi.KubeAPI, new_client: conftest.NewClient
) -> None:
    """All objects, and the version to watch from."""
    for number in range(5):
        put(server, f"s{number}")
    listing = await new_client(page_size=2).list(resources.SECRETS)
    assert [obj.metadata.name for obj in listing.items] == ["s0", "s1", "s2", "s3", "s4"]
    assert listing.resource_version == str(server.version)
    assert [seen.query.get("limit") for seen in server.seen] == ["2", "2", "2"]


async def test_a_scope_becomes_path_and_selectors(
    server: kubeapi.KubeAPI, new_client: conftest.NewClient
) -> None:
    """One namespace, labels, fields."""
    scope = client.Scope(
        namespace="n", label_selector="a in (b,c)", field_selector="metadata.name=x"
    )
    await new_client().list(resources.SECRETS, scope)
    seen = server.seen[0]
    assert seen.path == "/api/v1/namespaces/n/secrets"
    assert seen.query["labelSelector"] == "a in (b,c)"
    assert seen.query["fieldSelector"] == "metadata.name=x"


async def test_metadata_only_never_asks_for_the_data(
    server: kubeapi.KubeAPI, new_client: conftest.NewClient
) -> None:
    """No Accept header falls back to the whole object."""
    put(server, "s")
    api = new_client()
    kind = resources.SECRETS.metadata_only()
    await api.list(kind)
    await api.get(kind, "s", namespace="default")
    watch = api.watch(kind, resource_version=str(server.version - 1))
    event = await anext(watch)
    await watch.aclose()
    assert event.obj is not None
    accepted = [seen.headers["Accept"] for seen in server.seen]
    assert accepted[0].startswith("application/json;as=PartialObjectMetadataList;")
    assert all("as=PartialObjectMetadata;" in accept for accept in accepted[1:])
    assert not any("," in accept for accept in accepted)


async def test_what_kubectl_wrote_into_an_annotation_is_dropped_too(
    server: kubeapi.KubeAPI, new_client: conftest.NewClient
) -> None:
    """The last-applied annotation of a Secret holds its data."""
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": "{data}", "other": "kept"}
    server.put(
        ROOT, {"metadata": {"name": "s", "namespace": "default", "annotations": annotations}}
    )
    (found,) = (await new_client().list(resources.SECRETS.metadata_only())).items
    assert found.metadata.annotations == {"other": "kept"}


async def test_a_token_that_no_header_can_carry_is_refused(
    server: kubeapi.KubeAPI, new_client: conftest.NewClient
) -> None:
    """Told as a credential's fault, and not shown."""
    for token in ("s3cret\nX-Evil: 1", "s3crét"):
        with pytest.raises(errors.CredentialError) as caught:
            await new_client(conftest.Logins([token])).list(resources.SECRETS)
        assert "s3cr" not in str(caught.value)
    assert server.seen == []


async def test_names_are_quoted_in_paths() -> None:
    """No name leaves its place in the path."""
    path = resources.SECRETS.path(namespace="a/b", name="../x?y")
    assert path == "/api/v1/namespaces/a%2Fb/secrets/..%2Fx%3Fy"


@pytest.mark.parametrize("name", [".", ".."])
async def test_a_name_that_a_path_takes_for_a_way_is_not_sent(
    server: kubeapi.KubeAPI, new_client: conftest.NewClient, name: str
) -> None:
    """No quoting helps: a proxy would ask for the collection, or the namespace."""
    api = new_client()
    with pytest.raises(errors.APIStatusError, match=rf'secrets "{re.escape(name)}" not found'):
        await api.get(resources.SECRETS, name, namespace="default")
    with pytest.raises(errors.APIStatusError) as caught:
        await api.get(resources.SECRETS, "s", namespace=name)
    assert answers.is_not_found(caught.value)
    assert server.seen == []


async def test_a_quoted_name_arrives_as_one(
    server: kubeapi.KubeAPI, new_client: conftest.NewClient
) -> None:
    """What is quoted once is not quoted twice."""
    with pytest.raises(errors.APIStatusError, match='secrets "a%b" not found'):
        await new_client().get(resources.SECRETS, "a%b", namespace="default")


# Trouble.


async def test_429_is_waited_for_and_asked_again(
    server: kubeapi.KubeAPI, new_client: conftest.NewClient, time: faketime.FakeTime
) -> None:
    """Any verb: the server did nothing. Retry-After is obeyed."""
    server.fail("^POST", 429, times=2, headers={"Retry-After": "3"})
    await new_client().create(resources.SECRETS, {"metadata": {"name": "s"}}, namespace="default")
    assert server.count("^POST") == 3
    assert all(3 <= pause <= 5 for pause in time.slept)


async def test_a_long_retry_after_is_handed_to_the_caller(
    server: kubeapi.KubeAPI, new_client: conftest.NewClient, time: faketime.FakeTime
) -> None:
    """The queue serves it by requeueing; the worker is freed."""
    server.fail("^GET", 429, headers={"Retry-After": "120"})
    with pytest.raises(errors.APIStatusError) as caught:
        await new_client().get(resources.SECRETS, "s", namespace="default")
    assert caught.value.retry_after == 120
    assert time.slept == []


async def test_retries_have_an_end(server: kubeapi.KubeAPI, new_client: conftest.NewClient) -> None:
    """After five tries the answer is taken for an answer."""
    server.fail("^GET", 503, times=100, headers={"Retry-After": "1"})
    with pytest.raises(errors.APIStatusError) as caught:
        await new_client().get(resources.SECRETS, "s", namespace="default")
    assert caught.value.code == 503
    assert server.count("^GET") == 5


async def test_a_500_without_retry_after_is_told_at_once(
    server: kubeapi.KubeAPI, new_client: conftest.NewClient
) -> None:
    """It may have had an effect; those who call have back-offs."""
    server.fail("^GET", 500, reason="InternalError", message="etcd is unwell")
    with pytest.raises(errors.APIStatusError, match="etcd is unwell"):
        await new_client().get(resources.SECRETS, "s", namespace="default")
    assert server.count("^GET") == 1


async def test_a_lost_connection_is_repeated_only_where_it_does_no_harm(
    server: kubeapi.KubeAPI, new_client: conftest.NewClient
) -> None:
    """Reads and merge patches yes; creates and updates no."""
    put(server, "s")
    api = new_client()
    server.reset("^GET")
    await api.get(resources.SECRETS, "s", namespace="default")
    server.reset("^PATCH")
    await api.patch(resources.SECRETS, "s", patch.merge({"type": "x"}), namespace="default")
    server.reset("^POST")
    with pytest.raises(errors.TransportError, match="connection to the API server"):
        await api.create(resources.SECRETS, {"metadata": {"name": "n"}}, namespace="default")
    assert server.count("^POST") == 1
    server.reset("^PATCH")
    operations = patch.json_patch([{"op": "remove", "path": "/type"}])
    with pytest.raises(errors.TransportError):
        await api.patch(resources.SECRETS, "s", operations, namespace="default")


async def test_a_refused_connection_is_tried_again_for_any_verb(
    server: kubeapi.KubeAPI, new_client: conftest.NewClient, time: faketime.FakeTime
) -> None:
    """Nothing was sent, so nothing can happen twice."""
    api = new_client()
    await server.stop()
    with pytest.raises(errors.NotSentError, match="cannot connect to the API server"):
        await api.create(resources.SECRETS, {"metadata": {"name": "s"}}, namespace="default")
    assert len(time.slept) == 4
    assert all(pause <= 1 for pause in time.slept)


async def test_an_expired_token_is_renewed_once(
    server: kubeapi.KubeAPI, new_client: conftest.NewClient
) -> None:
    """A 401 asks the login source for another token and repeats the request."""
    server.tokens = {"new"}
    put(server, "s")
    source = conftest.Logins(["old", "new"])
    await new_client(source).get(resources.SECRETS, "s", namespace="default")
    assert source.rejected == ["old"]
    assert server.count("^GET") == 2


@pytest.mark.parametrize(("is_renewable", "tries"), [(True, 2), (False, 1)])
async def test_a_token_that_stays_refused_is_told(
    server: kubeapi.KubeAPI, new_client: conftest.NewClient, is_renewable: bool, tries: int
) -> None:
    """No endless renewing, and no repetition where nothing can be renewed."""
    server.tokens = {"good"}
    source = conftest.Logins(["bad", "worse"], is_renewable=is_renewable)
    with pytest.raises(errors.APIStatusError) as caught:
        await new_client(source).get(resources.SECRETS, "s", namespace="default")
    assert caught.value.code == 401
    assert str(caught.value) == (
        f"the API server {server.url.partition('://')[2]} does not accept our login "
        "(Unauthorized): renew the token or certificate in the kubeconfig, or choose another user"
    )
    assert server.count("^GET") == tries


async def test_an_answer_cut_off_in_the_middle_is_asked_for_again(
    server: kubeapi.KubeAPI, new_client: conftest.NewClient
) -> None:
    """Half a body is no answer."""

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        lengths.append(100 if len(lengths) == 0 else 2)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n{}" % lengths[-1])
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    lengths: list[int] = []
    listener = await asyncio.start_server(half, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    server.url = f"http://127.0.0.1:{port}"
    secret = await new_client().get(resources.SECRETS, "s", namespace="default")
    assert secret == resources.Secret()
    assert lengths == [100, 2]
    listener.close()
    await listener.wait_closed()


async def test_an_answer_without_end_is_not_swallowed(
    server: kubeapi.KubeAPI, new_client: conftest.NewClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every body has a bound."""
    monkeypatch.setattr(answers.body, "__kwdefaults__", {"limit": 1000})
    server.answer("^GET", b"x" * 2000, times=9)
    with pytest.raises(errors.TransportError, match="larger than 1000 bytes"):
        await new_client().get(resources.SECRETS, "s", namespace="default")


async def test_what_is_not_json_is_a_transport_error(
    server: kubeapi.KubeAPI, new_client: conftest.NewClient
) -> None:
    """A proxy's page is neither an object nor a message of the API's."""
    api = new_client()
    server.answer("^GET", b"<html>", times=9)
    with pytest.raises(errors.TransportError, match="unreadable Secret"):
        await api.get(resources.SECRETS, "s", namespace="default")
    server.answer("^POST", b"<html>s3cret</html>", code=502)
    with pytest.raises(errors.APIStatusError) as caught:
        await api.create(resources.SECRETS, {"metadata": {"name": "s"}}, namespace="default")
    assert str(caught.value) == "the API server answered with HTTP status 502"


@pytest.mark.parametrize("body", [b'{"metadata": {"name": "\xff"}}', b"[" * 100_000])
async def test_what_no_decoder_reads_is_a_transport_error(
    server: kubeapi.KubeAPI, new_client: conftest.NewClient, body: bytes
) -> None:
    """Bytes that are no UTF-8, and nesting without end."""
    server.answer("^GET", body, times=9)
    with pytest.raises(errors.TransportError, match="unreadable Secret"):
        await new_client().get(resources.SECRETS, "s", namespace="default")
    with pytest.raises(errors.TransportError, match="unreadable answer to /version"):
        await new_client().document("/version")


async def test_a_guard_is_asked_before_each_write(
    server: kubeapi.KubeAPI, new_client: conftest.NewClient
) -> None:
    """Before a repeated attempt too; reading goes on, and so does what passes the limiter by."""
    api = new_client()
    asked = 0

    def may_write() -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            raise errors.AbandonedError("no more")

    api.guard(may_write)
    server.fail("^POST", 503, headers={"Retry-After": "1"})
    with pytest.raises(errors.AbandonedError, match="no more"):
        await api.create(resources.SECRETS, {"metadata": {"name": "s"}}, namespace="default")
    with pytest.raises(errors.APIStatusError):
        await api.get(resources.SECRETS, "s", namespace="default")
    made = resources.Lease(metadata=meta.ObjectMeta(name="l", namespace="default"))
    await api.create(resources.LEASES, made, namespace="default", is_limited=False)
    assert [each.method for each in server.seen] == ["POST", "GET", "POST"]


async def test_a_redirect_is_not_followed(
    server: kubeapi.KubeAPI, new_client: conftest.NewClient
) -> None:
    """The token goes to the API server alone."""
    server.fail("^GET", 302, headers={"Location": "http://example.com/"})
    with pytest.raises(errors.APIStatusError):
        await new_client(conftest.Logins(["t"])).get(resources.SECRETS, "s", namespace="default")
    assert len(server.seen) == 1


# Limits, discovery, the rest.


async def test_qps_and_burst_limit_requests(
    server: kubeapi.KubeAPI, new_client: conftest.NewClient, time: faketime.FakeTime
) -> None:
    """Two at once, then one in half a second; what is urgent passes by."""
    api = new_client(qps=2.0, burst=2)
    for _ in range(4):
        await api.list(resources.SECRETS)
    assert time.slept == [0.5, 0.5]
    put(server, "s")
    await api.get(resources.SECRETS, "s", namespace="default", is_limited=False)
    assert len(time.slept) == 2


async def test_a_server_with_fair_queues_lifts_the_limit(
    server: kubeapi.KubeAPI, new_client: conftest.NewClient, time: faketime.FakeTime
) -> None:
    """API priority and fairness shows itself in a header."""
    api = new_client(qps=1.0, burst=1)
    server.bodies["/version"] = {}
    assert not await api.adopt_server_fairness()
    server.fail("version", 200, headers={"X-Kubernetes-PF-FlowSchema-UID": "x"})
    assert await api.adopt_server_fairness()
    time.slept.clear()
    for _ in range(10):
        await api.list(resources.SECRETS)
    assert time.slept == []


async def test_discovery_tells_versions_and_kinds(
    server: kubeapi.KubeAPI, new_client: conftest.NewClient
) -> None:
    """The preferred version first; nothing for a group that is not served."""
    server.bodies["/apis/g.io"] = {
        "versions": [{"version": "v1beta2"}, {"version": "v1"}],
        "preferredVersion": {"version": "v1"},
    }
    server.bodies["/apis/g.io/v1"] = {"resources": [{"name": "things"}, {"name": "things/status"}]}
    api = new_client()
    assert await api.versions("g.io") == ("v1", "v1beta2")
    assert await api.discover("g.io", "v1") == ("things", "things/status")
    assert await api.versions("none.io") == ()
    assert await api.discover("none.io", "v1") == ()


async def test_impersonation_headers_are_sent(
    server: kubeapi.KubeAPI, new_client: conftest.NewClient
) -> None:
    """``--as``, ``--as-group`` and what a kubeconfig says besides, with keys of any kind."""
    extra = (("example.com/scopes", ("view",)), ("reason", ("audit",)))
    acting = config.Impersonation(user="jane", uid="7", groups=("a",), extra=extra)
    await new_client(impersonation=acting).list(resources.SECRETS)
    headers = server.seen[0].headers
    assert headers["Impersonate-User"] == "jane"
    assert headers["Impersonate-Group"] == "a"
    assert headers["Impersonate-Uid"] == "7"
    assert headers["Impersonate-Extra-example.com%2Fscopes"] == "view"
    assert headers["Impersonate-Extra-reason"] == "audit"


async def test_warnings_of_the_server_are_passed_on(
    server: kubeapi.KubeAPI, new_client: conftest.NewClient
) -> None:
    """``Warning: 299 - "…"`` without its wrapping."""
    heard: list[str] = []
    server.fail("^GET", 200, headers={"Warning": '299 - "v1beta2 is deprecated, use \\"v1\\""'})
    await new_client(warn=heard.append).document("/x")
    assert heard == ['v1beta2 is deprecated, use "v1"']


async def test_requests_are_counted_by_code_and_method(
    server: kubeapi.KubeAPI, new_client: conftest.NewClient
) -> None:
    """``rest_client_requests_total``, failures to connect included."""
    observed = metrics.Metrics()
    api = new_client(observed=observed, retries=0)
    await api.list(resources.SECRETS)
    with pytest.raises(errors.APIStatusError):
        await api.get(resources.SECRETS, "s", namespace="default")
    await server.stop()
    with pytest.raises(errors.TransportError):
        await api.list(resources.SECRETS)
    host = server.url.removeprefix("http://")
    for code in ("200", "404", "<error>"):
        labels = {"code": code, "method": "GET", "host": host}
        assert observed.registry.get_sample_value("rest_client_requests_total", labels) == 1


async def test_a_deadline_ends_a_request(
    server: kubeapi.KubeAPI, new_client: conftest.NewClient
) -> None:
    """A server that hangs holds no worker for ever."""
    gate = server.hold("^GET")
    with pytest.raises(errors.DeadlineError):
        await new_client(request_timeout=0.05).get(resources.SECRETS, "s", namespace="default")
    gate.set()


async def test_a_watch_line_of_any_length_and_cut_is_read(
    server: kubeapi.KubeAPI, new_client: conftest.NewClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines larger than any buffer are put together; one without end is refused."""
    api = new_client()
    watch = api.watch(resources.SECRETS, resource_version=str(server.version))
    large = "x" * 300_000
    task = asyncio.ensure_future(anext(watch))
    await faketime.until(lambda: server.watches)
    put(server, "s", k=large)
    event = await task
    assert event.obj is not None
    assert event.obj.data["k"] == large.encode()
    monkeypatch.setattr(answers, "MAX_LINE_BYTES", 100_000)
    put(server, "s", k=large)
    with pytest.raises(errors.TransportError, match="larger than 100000 bytes"):
        await anext(watch)
    await watch.aclose()
