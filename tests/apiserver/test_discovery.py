"""What the server says it serves, to newer and older clients."""

from typing import Any

import pytest

from ocisource.apiserver import resources
from tests.apiserver import conftest

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
KUBECTL = (
    f"{AGGREGATED},application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,"
    "application/json"
)
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


async def test_aggregated(api: conftest.Api) -> None:
    """One document for /api and one for /apis, with the parameters of their media type."""
    core = await api.get("/api", accept=KUBECTL)
    assert core.headers["Content-Type"] == AGGREGATED
    assert core.doc["apiVersion"] == "apidiscovery.k8s.io/v2"
    (group,) = core.doc["items"]
    (version,) = group["versions"]
    found = {each["resource"]: each for each in version["resources"]}
    assert {"configmaps", "events", "namespaces", "secrets", "serviceaccounts"} <= set(found)
    assert found["serviceaccounts"]["subresources"][0]["responseKind"]["kind"] == "TokenRequest"
    groups = (await api.get("/apis", accept=KUBECTL)).doc["items"]
    named = {each["metadata"]["name"]: each for each in groups}
    versions = [each["version"] for each in named["example.com"]["versions"]]
    assert versions == ["v1", "v1beta1"]
    (widgets,) = named["example.com"]["versions"][0]["resources"]
    assert widgets["scope"] == "Namespaced"
    assert widgets["singularResource"] == "widget"
    assert widgets["shortNames"] == ["wd"]
    assert widgets["categories"] == ["all"]
    assert {"get", "list", "watch", "create", "deletecollection"} <= set(widgets["verbs"])
    assert widgets["subresources"][0]["subresource"] == "status"


async def test_aggregated_in_its_older_version(api: conftest.Api) -> None:
    """Clients of the beta get the beta."""
    accept = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
    answer = await api.get("/apis", accept=accept)
    assert answer.doc["apiVersion"] == "apidiscovery.k8s.io/v2beta1"
    assert "v=v2beta1" in answer.headers["Content-Type"]


async def test_legacy(api: conftest.Api) -> None:
    """One document for each group and version."""
    versions = (await api.get("/api")).doc
    assert (versions["kind"], versions["versions"]) == ("APIVersions", ["v1"])
    assert (await api.get("/apis")).doc["kind"] == "APIGroupList"
    group = (await api.get("/apis/example.com")).doc
    assert group["preferredVersion"] == {"groupVersion": "example.com/v1", "version": "v1"}
    listed = (await api.get("/apis/example.com/v1beta1")).doc
    assert listed["groupVersion"] == "example.com/v1beta1"
    assert [each["name"] for each in listed["resources"]] == ["widgets", "widgets/status"]
    core = (await api.get("/api/v1")).doc["resources"]
    token = next(each for each in core if each["name"] == "serviceaccounts/token")
    assert (token["group"], token["kind"]) == ("authentication.k8s.io", "TokenRequest")


@pytest.mark.parametrize("path", ["/api", "/apis", "/openapi/v2", "/openapi/v3"])
async def test_asking_again_costs_little(api: conftest.Api, path: str) -> None:
    """304 while nothing changed."""
    first = await api.get(path, accept=KUBECTL)
    etag = first.headers["ETag"]
    again = await api.send("GET", path, accept=KUBECTL, headers={"If-None-Match": etag})
    assert (again.status, again.body) == (304, b"")
    other = conftest.widget_definition()
    other["metadata"]["name"] = "gadgets.example.com"
    other["spec"]["names"] = {"kind": "Gadget", "plural": "gadgets"}
    await api.create(DEFINITIONS, other)
    later = await api.send("GET", path, accept=KUBECTL, headers={"If-None-Match": etag})
    assert later.status == (304 if path == "/api" else 200)


async def test_openapi(api: conftest.Api) -> None:
    """v3 by group and version, as the index says; v2 as JSON or protobuf."""
    index = (await api.get("/openapi/v3")).doc["paths"]
    path = index["apis/example.com/v1"]["serverRelativeURL"]
    document = (await api.get(path)).doc
    assert "com.example.v1.Widget" in document["components"]["schemas"]
    v2 = await api.get("/openapi/v2")
    assert v2.doc["swagger"] == "2.0"
    accept = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    packed = await api.get("/openapi/v2", accept=accept)
    assert packed.headers["Content-Type"].startswith("application/com.github.proto-openapi")
    assert packed.body.startswith(b"\x0a\x032.0")
    assert (await api.get("/openapi/v4")).status == 404


async def test_version(api: conftest.Api) -> None:
    """Recent enough for clients that look."""
    version = (await api.get("/version")).doc
    assert version["gitVersion"].startswith("v1.")
    assert int(version["minor"]) >= 27


async def test_the_root_lists_paths(api: conftest.Api) -> None:
    """For curious people."""
    paths = (await api.get("/")).doc["paths"]
    assert {"/api/v1", "/apis/example.com/v1", "/openapi/v3", "/version"} <= set(paths)


async def test_pretty_for_people(api: conftest.Api) -> None:
    """Curl gets indented JSON, and whoever asks for it."""
    headers = {"User-Agent": "curl/8.0"}
    assert b'\n  "kind"' in (await api.send("GET", "/apis", headers=headers)).body
    assert b'\n  "kind"' in (await api.get("/apis?pretty=true")).body
    assert b"\n" not in (await api.get("/apis")).body.strip()


class TestDefinitions:
    """CustomResourceDefinitions made at run time."""

    async def test_serve_at_once(self, api: conftest.Api) -> None:
        """As soon as the definition is stored, with its conditions."""
        crd = conftest.widget_definition()
        crd["metadata"]["name"] = "gadgets.example.com"
        crd["spec"]["names"] = {"kind": "Gadget", "plural": "gadgets"}
        created = await api.create(DEFINITIONS, crd)
        conditions = {each["type"]: each["status"] for each in created["status"]["conditions"]}
        assert conditions == {"NamesAccepted": "True", "Established": "True"}
        assert created["status"]["storedVersions"] == ["v1"]
        assert created["spec"]["names"]["listKind"] == "GadgetList"
        answer = await api.get("/apis/example.com/v1/gadgets")
        assert answer.doc["kind"] == "GadgetList"

    async def test_change_what_is_served(self, api: conftest.Api) -> None:
        """Versions come and go; objects stay, in every version."""
        await api.create(conftest.WIDGETS, conftest.widget("w"))
        crd = (await api.get(DEFINITIONS + "/widgets.example.com")).doc
        for version in crd["spec"]["versions"]:
            version["served"] = version["name"] == "v1beta1"
        answer = await api.send("PUT", DEFINITIONS + "/widgets.example.com", crd)
        assert answer.status == 200, answer.body
        assert answer.doc["metadata"]["generation"] == 2
        assert (await api.get(conftest.WIDGETS)).status == 404
        older = conftest.WIDGETS.replace("/v1/", "/v1beta1/")
        assert (await api.get(older + "/w")).doc["apiVersion"] == "example.com/v1beta1"

    async def test_do_not_take_names_of_others(self, api: conftest.Api) -> None:
        """A second definition with the same kind is stored, but serves nothing."""
        crd = conftest.widget_definition()
        crd["metadata"]["name"] = "others.example.com"
        crd["spec"]["names"] = {"kind": "Widget", "plural": "others"}
        created = await api.create(DEFINITIONS, crd)
        conditions = {each["type"]: each for each in created["status"]["conditions"]}
        assert conditions["NamesAccepted"]["status"] == "False"
        assert conditions["NamesAccepted"]["reason"] == "ListKindConflict"
        assert conditions["Established"]["status"] == "False"
        assert (await api.get("/apis/example.com/v1/others")).status == 404

    async def test_warn_of_deprecated_versions(self, api: conftest.Api) -> None:
        """Each answer says so."""
        crd = (await api.get(DEFINITIONS + "/widgets.example.com")).doc
        for version in crd["spec"]["versions"]:
            if version["name"] == "v1beta1":
                version |= {"deprecated": True, "deprecationWarning": "use v1"}
        await api.send("PUT", DEFINITIONS + "/widgets.example.com", crd)
        answer = await api.get(conftest.WIDGETS.replace("/v1/", "/v1beta1/"))
        assert answer.headers["Warning"] == '299 - "use v1"'

    async def test_select_by_their_own_fields(self, api: conftest.Api) -> None:
        """``selectableFields`` of a version may be asked for."""
        crd = (await api.get(DEFINITIONS + "/widgets.example.com")).doc
        for version in crd["spec"]["versions"]:
            version["selectableFields"] = [{"jsonPath": ".spec.color"}]
        answer = await api.send("PUT", DEFINITIONS + "/widgets.example.com", crd)
        assert answer.status == 200, answer.body
        await api.create(conftest.WIDGETS, conftest.widget("w"))
        for color, count in (("red", 1), ("blue", 0)):
            found = await api.get(f"{conftest.WIDGETS}?fieldSelector=spec.color%3D{color}")
            assert len(found.doc["items"]) == count


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["v1beta1", "v1", "v2"], ["v2", "v1", "v1beta1"]),
        (["v1alpha1", "v1beta2", "v1beta10"], ["v1beta10", "v1beta2", "v1alpha1"]),
        (["foo1", "v10", "v2", "foo10", "v11alpha2"], ["v10", "v2", "v11alpha2", "foo1", "foo10"]),
    ],
)
def test_versions_have_an_order(names: list[str], expected: list[str]) -> None:
    """The best is preferred: stable before beta before alpha, larger numbers first."""
    assert sorted(names, key=resources.version_priority) == expected


async def test_the_first_start_keeps_shipped_definitions_current(tmp_path: Any, start: Any) -> None:
    """A definition that comes with the program is renewed when the program brings another."""
    crd = conftest.widget_definition()
    async with start(tmp_path / "data", manifests=[crd]) as api:
        first = (await api.get(DEFINITIONS + "/widgets.example.com")).doc
        names = [
            each["metadata"]["name"] for each in (await api.get("/api/v1/namespaces")).doc["items"]
        ]
        assert names == ["default", "kube-system"]
    async with start(tmp_path / "data", manifests=[crd]) as api:
        same = (await api.get(DEFINITIONS + "/widgets.example.com")).doc
        assert same == first
    crd["spec"]["names"]["categories"] = ["some"]
    async with start(tmp_path / "data", manifests=[crd]) as api:
        renewed = (await api.get(DEFINITIONS + "/widgets.example.com")).doc
        assert renewed["spec"]["names"]["categories"] == ["some"]
        assert renewed["metadata"]["uid"] == first["metadata"]["uid"]
