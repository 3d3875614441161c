"""Who may ask for what, and what lies in the data folder."""

import contextlib
import logging
import pathlib
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from ocisource import errors
from ocisource.apiserver import requests
from ocisource.apiserver.identity import access, certificates
from tests.apiserver import conftest

Starter = Callable[..., contextlib.AbstractAsyncContextManager[conftest.Api]]
ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@pytest.mark.parametrize("token", ["wrong", "", "a.b.c", "x" * 20_000, "..", "é"])
async def test_a_wrong_token_opens_nothing(api: conftest.Api, token: str) -> None:
    """401 as a Status, for objects, documents and unknown paths alike."""
    for path in (conftest.CONFIG_MAPS, "/api", "/version", "/nowhere"):
        header = {"Authorization": f"Bearer {token}"} if len(token) < 10_000 else {}
        answer = await api.send("GET", path, headers=header)
        if header:
            assert (answer.status, answer.doc["reason"]) == (401, "Unauthorized")
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("header", ["", "Basic eDp5", "bearer", "Bearer"])
async def test_other_schemes_open_nothing(api: conftest.Api, header: str) -> None:
    """Only bearer tokens are known."""
    answer = await api.send("GET", "/api", headers={"Authorization": header})
    assert answer.status == 401


async def test_health_is_told_to_anybody(api: conftest.Api) -> None:
    """Probes have no token."""
    for path in ("/healthz", "/livez", "/readyz"):
        answer = await api.send("GET", path, headers={"Authorization": ""})
        assert (answer.status, answer.body) == (200, b"ok")
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


class TestReader:
    """The token of those who only look."""

    async def test_reads(self, api: conftest.Api) -> None:
        """Lists, objects, watches and documents."""
        await api.create(conftest.CONFIG_MAPS, conftest.config_map("a"))
        api.token = api.reader_token()
        for path in (conftest.CONFIG_MAPS, conftest.CONFIG_MAPS + "/a", "/api", "/version"):
            assert (await api.get(path)).status == 200
        async with api.watch(conftest.CONFIG_MAPS + "?watch=1") as watch:
            assert await watch.seen(1) == [("ADDED", "a")]

    @pytest.mark.parametrize(
        ("method", "path", "verb"),
        [
            ("POST", "", "create"),
            ("DELETE", "", "deletecollection"),
            ("PUT", "/a", "update"),
            ("PATCH", "/a", "patch"),
            ("DELETE", "/a", "delete"),
        ],
    )
    async def test_writes_nothing(
        self, api: conftest.Api, method: str, path: str, verb: str
    ) -> None:
        """403 names the verb, the resource and the user."""
        api.token = api.reader_token()
        answer = await api.send(method, conftest.CONFIG_MAPS + path, {})
        assert answer.status == 403
        assert answer.doc["reason"] == "Forbidden"
        name = ' "a"' if path else ""
        assert answer.doc["message"] == (
            f'configmaps{name} is forbidden: User "ocisource-reader" cannot {verb} resource '
            '"configmaps" in API group "" in the namespace "default"'
        )

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("PATCH", f"{conftest.WIDGETS}/w/status"),
            ("PUT", f"{conftest.WIDGETS}/w/status"),
            ("PUT", "/api/v1/namespaces/default/finalize"),
            ("DELETE", "/api/v1/namespaces/default"),
            ("POST", f"{ACCOUNTS}/a/token"),
            ("GET", "/api/v1/namespaces/default/secrets/s/status"),
            ("POST", "/apis/authentication.k8s.io/v1/tokenreviews"),
            ("POST", "/version"),
        ],
    )
    async def test_reaches_nothing_by_side_doors(
        self, api: conftest.Api, method: str, path: str
    ) -> None:
        """Subresources, tokens and reviews of tokens are no way round."""
        api.token = api.reader_token()
        for asked in (path, f"{path}?dryRun=All"):
            assert (await api.send(method, asked, {})).status == 403

    async def test_reviews_are_those_of_kubernetes(self, api: conftest.Api) -> None:
        """A custom resource that is called like a review is not open to everybody."""
        definition = conftest.widget_definition()
        plural = "selfsubjectreviews"
        definition["metadata"]["name"] = f"{plural}.example.com"
        names = {"plural": plural, "singular": plural[:-1], "kind": "SelfSubjectReview"}
        definition["spec"]["names"] = names
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        await api.create(path, definition)
        reviews = f"/apis/example.com/v1/namespaces/default/{plural}"
        obj = {**conftest.widget("a"), "kind": "SelfSubjectReview"}
        answer = await api.send("POST", reviews, obj, token=api.reader_token())
        assert answer.status == 403
        await api.create(reviews, obj)

    async def test_sees_no_secrets(self, api: conftest.Api) -> None:
        """Neither by list nor by name nor by watch, and gets no tokens."""
        api.token = api.reader_token()
        secrets = "/api/v1/secrets"
        paths = (secrets, secrets + "?watch=1", "/api/v1/namespaces/default/secrets/x")
        for path in (*paths, "/api/v1/watch/secrets"):
            assert (await api.get(path)).status == 403
        assert (await api.send("POST", ACCOUNTS + "/x/token", {})).status == 403

    async def test_may_ask_what_it_may(self, api: conftest.Api) -> None:
        """``kubectl auth can-i``."""
        api.token = api.reader_token()
        found = {}
        for verb, resource in (
            ("list", "configmaps"),
            ("create", "configmaps"),
            ("get", "secrets"),
        ):
            spec = {"resourceAttributes": {"verb": verb, "resource": resource}}
            review = await api.create(REVIEWS, {"spec": spec})
            found[verb, resource] = review["status"]["allowed"]
        assert list(found.values()) == [True, False, False]


class TestImpersonation:
    """``kubectl --as``."""

    async def ask(self, api: conftest.Api, path: str, **headers: str) -> conftest.Answer:
        """GET with headers, whose names are given with underscores."""
        named = {f"Impersonate-{name.title()}": value for name, value in headers.items()}
        return await api.send("GET", path, headers=named)

    async def test_has_the_rights_of_the_other(self, api: conftest.Api) -> None:
        """An unknown user has none, a reader those of readers, an administrator all."""
        refused = await self.ask(api, conftest.CONFIG_MAPS, user="jane")
        assert refused.status == 403
        assert refused.doc["message"] == (
            'configmaps is forbidden: User "jane" cannot list resource "configmaps" in API group '
            '"" in the namespace "default"'
        )
        secrets = "/api/v1/secrets"
        for group, path, status in (
            (access.READERS, conftest.CONFIG_MAPS, 200),
            (access.READERS, secrets, 403),
            (access.MASTERS, secrets, 200),
        ):
            answer = await self.ask(api, path, user="jane", group=group)
            assert answer.status == status

    async def test_is_who_one_is(self, api: conftest.Api) -> None:
        """``kubectl auth whoami --as``; accounts have their groups without being told."""
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        headers = {"Impersonate-User": "system:serviceaccount:n:a", "Impersonate-Uid": "u"}
        answer = await api.send("POST", path, {}, headers=headers)
        assert answer.doc["status"]["userInfo"] == {
            "username": "system:serviceaccount:n:a",
            "uid": "u",
            "groups": [
                "system:serviceaccounts",
                "system:serviceaccounts:n",
                "system:authenticated",
            ],
        }

    async def test_is_for_the_administrator_alone(self, api: conftest.Api) -> None:
        """Nobody else gets more rights by asking as another."""
        api.token = api.reader_token()
        answer = await self.ask(api, "/version", user="kubernetes-admin", group=access.MASTERS)
        assert answer.status == 403
        assert (
            'User "ocisource-reader" cannot impersonate resource "users"' in answer.doc["message"]
        )

    @pytest.mark.parametrize("header", ["group", "uid", "extra-scopes"])
    async def test_needs_a_user(self, api: conftest.Api, header: str) -> None:
        """A half of it is not ignored."""
        answer = await self.ask(api, conftest.CONFIG_MAPS, **{header: "x"})
        assert answer.status == 500
        assert answer.doc["message"].endswith(" without impersonating a user")


class TestServiceAccounts:
    """Tokens for service accounts."""

    async def token(self, api: conftest.Api, **spec: Any) -> dict[str, Any]:
        """A token of the account ``a``."""
        if (await api.get(ACCOUNTS + "/a")).status == 404:
            await api.create(ACCOUNTS, {"metadata": {"name": "a"}})
        answer = await api.send("POST", ACCOUNTS + "/a/token", {"spec": spec})
        assert answer.status == 201, answer.body
        granted: dict[str, Any] = answer.doc
        return granted

    async def test_may_ask_and_do_nothing_else(self, api: conftest.Api) -> None:
        """The server knows the account, which has no rights of its own."""
        api.token = (await self.token(api))["status"]["token"]
        assert (await api.get("/api")).status == 200
        refused = await api.get(conftest.CONFIG_MAPS)
        assert refused.status == 403
        assert 'User "system:serviceaccount:default:a" cannot list' in refused.doc["message"]
        spec = {"resourceAttributes": {"verb": "list", "resource": "configmaps"}}
        assert (await api.create(REVIEWS, {"spec": spec}))["status"] == {"allowed": False}

    async def test_ends_with_the_account(self, api: conftest.Api) -> None:
        """A new account of the same name does not revive the old one's token."""
        token = (await self.token(api))["status"]["token"]
        await api.send("DELETE", ACCOUNTS + "/a")
        assert (await api.send("GET", "/api", token=token)).status == 401
        await api.create(ACCOUNTS, {"metadata": {"name": "a"}})
        assert (await api.send("GET", "/api", token=token)).status == 401

    async def test_ends_with_the_secret_it_is_bound_to(self, api: conftest.Api) -> None:
        """``kubectl create token --bound-object-kind=Secret``."""
        secrets = "/api/v1/namespaces/default/secrets"
        await api.create(secrets, {"metadata": {"name": "s"}})
        ref = {"apiVersion": "v1", "kind": "Secret", "name": "s"}
        granted = await self.token(api, boundObjectRef=ref)
        token = granted["status"]["token"]
        assert granted["spec"]["boundObjectRef"]["name"] == "s"
        assert (await api.send("GET", "/api", token=token)).status == 200
        await api.send("DELETE", secrets + "/s")
        assert (await api.send("GET", "/api", token=token)).status == 401
        await api.create(secrets, {"metadata": {"name": "s"}})
        assert (await api.send("GET", "/api", token=token)).status == 401

    async def test_is_for_its_audience(self, api: conftest.Api) -> None:
        """A token for somebody else does not open this API."""
        granted = await self.token(api, audiences=["elsewhere"], expirationSeconds=600)
        assert granted["spec"]["audiences"] == ["elsewhere"]
        assert granted["spec"]["expirationSeconds"] == 600
        token = granted["status"]["token"]
        assert (await api.send("GET", "/api", token=token)).status == 401

    async def test_is_refused_when_it_was_changed(self, api: conftest.Api) -> None:
        """Another claim, or another signature, is nobody's token."""
        token: str = (await self.token(api))["status"]["token"]
        header, claims, signature = token.split(".")
        for forged in (
            f"{header}.{claims}.{'A' * len(signature)}",
            f"{header}.{claims[:-4]}AAAA.{signature}",
            f"{header}.{claims}.",
            f"eyJhbGciOiJub25lIn0.{claims}.",
        ):
            assert (await api.send("GET", "/api", token=forged)).status == 401

    async def test_needs_an_account_and_a_sensible_life(self, api: conftest.Api) -> None:
        """404 for an account that is not there, 422 for a minute."""
        assert (await api.send("POST", ACCOUNTS + "/nobody/token", {})).status == 404
        await self.token(api)
        answer = await api.send("POST", ACCOUNTS + "/a/token", {"spec": {"expirationSeconds": 60}})
        assert answer.status == 422
        assert "less than 10 minutes" in answer.doc["message"]


def test_a_token_is_good_for_its_time() -> None:
    """Not after its end, and not before it was issued but for a clock that was set back a bit."""

    class Accounts:
        def account_uid(self, _namespace: str, _name: str) -> str | None:
            return "u"

        def secret_uid(self, _namespace: str, _name: str) -> str | None:
            return None

    key = ec.generate_private_key(ec.SECP256R1())
    authority = access.Authority(tokens={}, key=key, accounts=Accounts())
    bound = {"namespace": "n", "serviceaccount": {"name": "a", "uid": "u"}}
    claims = {"iss": access.ISSUER, "aud": [access.ISSUER], "nbf": 100, "exp": 200, "sub": "s"}
    token = authority.sign({**claims, "kubernetes.io": bound})
    early = 100 - access.LEEWAY_SECONDS
    times = (early - 1, early, 199, 200)
    found = [authority.verify(token, now=now) is not None for now in times]
    assert found == [False, True, True, False]
    other = access.Authority(
        tokens={},
        key=ec.generate_private_key(ec.SECP256R1()),
        accounts=Accounts(),
    )
    assert other.verify(token, now=150) is None


def test_nobody_may_do_anything_by_default() -> None:
    """A caller of no known group is refused everything but questions."""
    user = access.User("x", (access.AUTHENTICATED,))
    assert not access.allows(user, access.Question("list", plural="configmaps"))
    target = requests.Target("", "v1", "configmaps", "default", "a", "")
    with pytest.raises(errors.APIStatusError, match='User "x" cannot get resource'):
        access.check(user, access.Question.of("get", target))


class TestDataFolder:
    """What lies on the disk."""

    async def test_is_for_its_owner_alone(self, tmp_path: pathlib.Path, start: Starter) -> None:
        """Folders 0700, files 0600, whatever the umask says."""
        folder = tmp_path / "data"
        folder.mkdir(mode=0o755)
        async with start(folder):
            modes = {
                path.relative_to(tmp_path): path.stat().st_mode & 0o777
                for path in (folder, *folder.rglob("*"))
            }
        wrong = [
            path
            for path, mode in modes.items()
            if mode != (0o700 if "." not in path.name and path.name in {"data", "pki"} else 0o600)
        ]
        assert not wrong
        assert len(modes) > 8

    async def test_survives_a_restart(self, tmp_path: pathlib.Path, start: Starter) -> None:
        """Tokens, authority and objects are the same; the address in the kubeconfig is new."""
        folder = tmp_path / "data"
        async with start(folder) as api:
            first = (api.token, (folder / "pki" / "ca.crt").read_bytes())
            await api.create(conftest.CONFIG_MAPS, conftest.config_map("a"))
        async with start(folder) as api:
            assert (api.token, (folder / "pki" / "ca.crt").read_bytes()) == first
            assert (await api.get(conftest.CONFIG_MAPS + "/a")).status == 200
            document = yaml.safe_load((folder / "kubeconfig").read_text())
            assert document["clusters"][0]["cluster"]["server"] == api.address

    async def test_belongs_to_one_process(self, tmp_path: pathlib.Path, start: Starter) -> None:
        """A second server on the same folder is refused, and told what to do."""
        async with start(tmp_path / "data"):
            with pytest.raises(errors.StorageError, match="in use by another process"):
                async with start(tmp_path / "data"):
                    pass

    async def test_is_left_in_order_when_the_address_is_taken(
        self, tmp_path: pathlib.Path, start: Starter
    ) -> None:
        """The refusal names the address, and the folder can be used again."""
        async with start(tmp_path / "one") as api:
            port = int(api.address.rpartition(":")[2])
            with pytest.raises(errors.UsageError, match=f"cannot listen on 127.0.0.1:{port}"):
                async with start(tmp_path / "two", port=port):
                    pass
        async with start(tmp_path / "two") as api:
            assert (await api.get("/api")).status == 200

    async def test_warns_when_others_can_reach_it(
        self,
        tmp_path: pathlib.Path,
        start: Starter,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """On loopback there is nothing to say."""
        with caplog.at_level(logging.WARNING):
            async with start(tmp_path / "one"):
                assert not caplog.records
            async with start(tmp_path / "two", host="0.0.0.0") as api:  # noqa: S104
                assert api.address.startswith("https://127.0.0.1:")
        assert "listens on 0.0.0.0, beyond this machine" in caplog.text

    def test_the_certificate_is_renewed(self, tmp_path: pathlib.Path) -> None:
        """When it nears its end or the server has another name; the authority stays."""
        day = 86_400.0
        certificate = tmp_path / "pki" / "server.crt"

        def load(now: float, *names: str) -> tuple[bytes, bytes]:
            identity = certificates.load(tmp_path, names=names, now=now)
            return identity.ca_pem, certificate.read_bytes()

        first = load(1e9)
        assert load(1e9 + day) == first
        later = load(1e9 + 300 * day)
        renamed = load(1e9 + 300 * day, "api.example.com", "192.0.2.1")
        assert len({first[1], later[1], renamed[1]}) == 3
        assert {first[0]} == {later[0], renamed[0]}
        names = x509.load_pem_x509_certificate(renamed[1]).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
        assert "api.example.com" in names.value.get_values_for_type(x509.DNSName)
        addresses = map(str, names.value.get_values_for_type(x509.IPAddress))
        assert {"127.0.0.1", "192.0.2.1"} <= set(addresses)


class TestReviews:
    """Questions about rights and tokens."""

    async def test_who_am_i(self, api: conftest.Api) -> None:
        """``kubectl auth whoami``."""
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        for token, name in (
            (api.token, "kubernetes-admin"),
            (api.reader_token(), "ocisource-reader"),
        ):
            answer = await api.send("POST", path, body, token=token)
            assert answer.doc["status"]["userInfo"]["username"] == name

    async def test_all_that_one_may(self, api: conftest.Api) -> None:
        """``kubectl auth can-i --list``."""
        path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
        body = {"spec": {"namespace": "default"}}
        admin = (await api.create(path, body))["status"]
        assert admin["resourceRules"][0] == {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
        answer = await api.send("POST", path, body, token=api.reader_token())
        verbs = {verb for rule in answer.doc["status"]["resourceRules"] for verb in rule["verbs"]}
        assert verbs == {"create", "get", "list", "watch"}
        assert answer.doc["status"]["incomplete"] is True

    async def test_whose_a_token_is(self, api: conftest.Api) -> None:
        """For servers that are shown tokens of this one."""
        path = "/apis/authentication.k8s.io/v1/tokenreviews"
        await api.create(ACCOUNTS, {"metadata": {"name": "a"}})
        spec = {"audiences": ["artifacts"]}
        granted = await api.send("POST", ACCOUNTS + "/a/token", {"spec": spec})
        token = granted.doc["status"]["token"]
        good = (await api.create(path, {"spec": {**spec, "token": token}}))["status"]
        assert good["authenticated"] is True
        assert good["user"]["username"] == "system:serviceaccount:default:a"
        for asked in ({"token": token}, {"token": "x"}, {**spec, "token": api.token}):
            assert "authenticated" not in (await api.create(path, {"spec": asked}))["status"]
        refused = await api.send("POST", path, {"spec": {}}, token=api.reader_token())
        assert refused.status == 403
