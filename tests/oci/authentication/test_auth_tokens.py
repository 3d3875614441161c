"""Basic and Bearer: what is shown, when, how often asked for, and to whom."""

import asyncio
import urllib.parse

import pytest
from aiohttp import web

from ocisource import errors
from ocisource.oci import registry
from ocisource.oci.authentication import credentials, tokenservice
from ocisource.oci.grammar import reference
from tests.oci.conftest import Remote
from tests.simulators import faketime, faults
from tests.simulators.registry import Fault, Handler, Seen, Simulator, Tokens

USERS = {"alice": "s3cret"}


def access(credential: credentials.Credential) -> registry.Access:
    """Access with one credential."""
    return registry.Access(keychain=credentials.StaticKeychain(credential))


def kinds(seen: list[Seen]) -> list[str]:
    """Method and path, the token service by its name alone."""
    return [each.method if each.path != "/token" else f"{each.method} token" for each in seen]


async def test_a_warm_token_makes_a_check_one_request(remote: Remote) -> None:
    """The first check meets a challenge and asks for a token; the next is one HEAD."""
    async with Simulator(tokens=Tokens(users=USERS)) as simulator:
        simulator.add_image("org/app", "1.0")
        app = remote(simulator.host, user="alice", password="s3cret")
        await app.resolve("1.0")
        with simulator.watched() as seen:
            await app.resolve("1.0")
    assert kinds(seen) == ["HEAD"]
    assert seen[0].authorization == "Bearer token-1"


async def test_a_token_request_says_service_and_scope(remote: Remote) -> None:
    """GET with Basic, as docs/spec/auth/token.md has it."""
    async with Simulator(tokens=Tokens(users=USERS)) as simulator:
        simulator.add_image("org/app", "1.0")
        await remote(simulator.host, user="alice", password="s3cret").resolve("1.0")
        (asked,) = [each for each in simulator.seen if each.path == "/token"]
    assert asked.method == "GET"
    assert asked.authorization.startswith("Basic ")
    query = urllib.parse.parse_qs(asked.query)
    assert query == {"service": ["simulator"], "scope": ["repository:org/app:pull"]}


async def test_nobody_gets_a_token_too(remote: Remote) -> None:
    """Public repositories of token-protected registries are read with an anonymous token."""
    async with Simulator(tokens=Tokens()) as simulator:
        simulator.add_image("org/app", "1.0")
        await remote(simulator.host).resolve("1.0")
        (asked,) = [each for each in simulator.seen if each.path == "/token"]
    assert asked.authorization == ""


async def test_each_repository_has_a_token_of_its_own(remote: Remote) -> None:
    """The challenge is remembered for the host: a second repository is not refused first."""
    async with Simulator(tokens=Tokens(users=USERS)) as simulator:
        simulator.add_image("org/app", "1.0")
        simulator.add_image("org/other", "1.0")
        await remote(simulator.host, user="alice", password="s3cret").resolve("1.0")
        with simulator.watched() as seen:
            other = remote(simulator.host, "org/other", user="alice", password="s3cret")
            await other.resolve("1.0")
    assert kinds(seen) == ["GET token", "HEAD"]


async def test_many_callers_ask_for_one_token(remote: Remote) -> None:
    """Token requests for one scope are shared."""
    async with Simulator(tokens=Tokens(users=USERS)) as simulator:
        tags = [f"1.{number}" for number in range(20)]
        simulator.add_image("org/app", *tags)
        app = remote(simulator.host, user="alice", password="s3cret")
        await app.resolve("1.0")
        assert simulator.tokens is not None
        simulator.tokens.expires_in = 600
        simulator.tokens.revoke()
        with simulator.watched() as seen:
            await asyncio.gather(*(app.resolve(tag) for tag in tags))
    assert kinds(seen).count("GET token") == 1


@pytest.mark.parametrize(
    ("expires_in", "passed", "is_renewed"),
    [(300, 260, False), (300, 275, True), (None, 50, False), (None, 58, True), (10, 8, False)],
)
async def test_a_token_is_renewed_shortly_before_it_expires(
    remote: Remote,
    time: faketime.FakeTime,
    expires_in: int | None,
    passed: float,
    is_renewed: bool,
) -> None:
    """A tenth of its life before, 30 s at most; without `expires_in` it lives 60 s."""
    async with Simulator(tokens=Tokens(expires_in=expires_in)) as simulator:
        simulator.add_image("org/app", "1.0")
        await remote(simulator.host).resolve("1.0")
        time.now += passed
        with simulator.watched() as seen:
            await remote(simulator.host).resolve("1.0")
    assert kinds(seen) == (["GET token", "HEAD"] if is_renewed else ["HEAD"])


async def test_a_token_from_a_cache_is_as_old_as_it_says(
    remote: Remote, time: faketime.FakeTime
) -> None:
    """`issued_at` counts: a token service may hand out what it made a while ago."""
    extra = {"issued_at": "2000-01-01T00:00:00Z"}
    async with Simulator(tokens=Tokens(expires_in=300, extra=extra)) as simulator:
        simulator.add_image("org/app", "1.0")
        await remote(simulator.host).resolve("1.0")
        with simulator.watched() as seen:
            await remote(simulator.host).resolve("1.0")
    assert kinds(seen) == ["GET token", "HEAD"]


@pytest.mark.parametrize("date", ["", "yesterday", f"Fri, 31 Dec {'9' * 20} 23:59:59 GMT"])
def test_a_date_that_no_clock_can_show_counts_as_none(date: str) -> None:
    """The age of a token is told by our own clock then."""
    assert tokenservice._age("2000-01-01T00:00:00Z", {"Date": date}, now=946684860.0) == 60.0


@pytest.mark.parametrize("status", [401, 403, 400])
async def test_a_refused_token_is_renewed_once(remote: Remote, status: int) -> None:
    """401 anywhere, 403 as ECR has it, 400 as ECR Public has it."""
    async with Simulator(tokens=Tokens(users=USERS), expired=status) as simulator:
        simulator.add_image("org/app", "1.0")
        app = remote(simulator.host, user="alice", password="s3cret")
        await app.resolve("1.0")
        assert simulator.tokens is not None
        simulator.tokens.revoke()
        with simulator.watched() as seen:
            await app.resolve("1.0")
    assert kinds(seen) == ["HEAD", "GET token", "HEAD"]


@pytest.mark.parametrize("status", [401, 403, 400])
async def test_a_storm_of_refusals_is_not_answered_by_one(remote: Remote, status: int) -> None:
    """However often the registry refuses, a check stays a handful of requests."""
    challenge = 'Bearer realm="{}/token",service="s",scope="x:{}"'
    async with Simulator(tokens=Tokens(users=USERS)) as simulator:
        simulator.add_image("org/app", "1.0")
        app = remote(simulator.host, user="alice", password="s3cret")
        await app.resolve("1.0")
        headers = {"WWW-Authenticate": challenge.format(simulator.url, "y")}
        simulator.on("*", "/manifests/", faults.status(status, headers=headers))
        with simulator.watched() as seen, pytest.raises(errors.RegistryError):
            await app.resolve("1.0")
    assert len(seen) <= 8


async def test_the_scope_the_registry_names_is_asked_for_first(remote: Remote) -> None:
    """Some token services read only the first scope."""
    wanted = "repository:mirror/org/app:pull"
    async with Simulator(tokens=Tokens()) as simulator:
        simulator.add_image("org/app", "1.0")
        challenge = f'Bearer realm="{simulator.url}/token",service="s",scope="{wanted}"'
        refuse = faults.status(401, headers={"WWW-Authenticate": challenge})
        simulator.on("HEAD", "/manifests/", refuse, times=1)
        await remote(simulator.host).resolve("1.0")
        asked = [each for each in simulator.seen if each.path == "/token"]
    scopes = urllib.parse.parse_qs(asked[-1].query)["scope"]
    assert scopes == [wanted, "repository:org/app:pull"]


async def test_each_repository_may_have_a_realm_of_its_own(remote: Remote) -> None:
    """Hosts that name one for each: their tokens stay, and a check stays one request."""
    issued: dict[str, str] = {}

    def issue(name: str) -> Fault:
        async def fault(_request: web.Request, _right: Handler) -> web.StreamResponse:
            issued[name] = f"token-{name}"
            return web.json_response({"token": issued[name]})

        return fault

    def guard(name: str) -> Fault:
        async def fault(request: web.Request, _right: Handler) -> web.StreamResponse:
            if request.headers.get("Authorization") == f"Bearer {issued.get(name)}":
                return web.Response(headers={"Docker-Content-Digest": "sha256:" + "0" * 64})
            challenge = f'Bearer realm="{simulator.url}/token?for={name}",service="s"'
            return web.Response(status=401, headers={"WWW-Authenticate": challenge})

        return fault

    async with Simulator() as simulator:
        for name in ("app", "other"):
            simulator.on("*", f"/org/{name}/", guard(name))
            simulator.on("*", f"/token?for={name}", issue(name))
        for name in ("app", "other"):
            await remote(simulator.host, f"org/{name}").resolve("1.0")
        with simulator.watched() as seen:
            for name in ("app", "other", "app"):
                await remote(simulator.host, f"org/{name}").resolve("1.0")
    assert kinds(seen) == ["HEAD"] * 3


async def test_one_repository_may_want_basic_where_others_want_a_token(remote: Remote) -> None:
    """What one repository is asked for does not change what another one shows."""
    async with Simulator(tokens=Tokens(users=USERS)) as simulator:
        for name in ("app", "old"):
            simulator.add_image(f"org/{name}", "1.0")

        async def wants_basic(request: web.Request, _right: Handler) -> web.StreamResponse:
            if request.headers.get("Authorization") == "Basic YWxpY2U6czNjcmV0":
                digest = simulator.repository("org/old").tags["1.0"]
                return web.Response(headers={"Docker-Content-Digest": digest})
            return web.Response(status=401, headers={"WWW-Authenticate": "Basic realm=old"})

        simulator.on("*", "/org/old/", wants_basic)
        alice = access(credentials.Credential("alice", "s3cret"))
        for name in ("app", "old"):
            await remote(simulator.host, f"org/{name}", access=alice).resolve("1.0")
        with simulator.watched() as seen:
            for name in ("app", "old"):
                await remote(simulator.host, f"org/{name}", access=alice).resolve("1.0")
    assert [each.authorization.partition(" ")[0] for each in seen] == ["Bearer", "Basic"]


async def test_basic_is_shown_from_the_second_request_on(remote: Remote) -> None:
    """Nothing is sent before it is asked for; then it is sent without being asked again."""
    async with Simulator(users=USERS) as simulator:
        simulator.add_image("org/app", "1.0")
        app = remote(simulator.host, user="alice", password="s3cret")
        await app.resolve("1.0")
        assert simulator.seen[0].authorization == ""
        with simulator.watched() as seen:
            await app.resolve("1.0")
    assert kinds(seen) == ["HEAD"]
    assert seen[0].authorization.startswith("Basic ")


async def test_the_first_usable_challenge_counts(remote: Remote) -> None:
    """Of several challenges, in one header or in many, nobody takes the Bearer one."""
    async with Simulator(tokens=Tokens()) as simulator:
        simulator.add_image("org/app", "1.0")
        bearer = f'Bearer realm="{simulator.url}/token", service="a, b"'
        both = {"WWW-Authenticate": f'Negotiate, Basic realm="x, y", {bearer}'}
        simulator.on("*", "/v2/", faults.status(401, headers=both), times=1)
        await remote(simulator.host).resolve("1.0")
        (asked,) = [each for each in simulator.seen if each.path == "/token"]
    assert urllib.parse.parse_qs(asked.query)["service"] == ["a, b"]


async def test_a_bare_401_is_answered_with_basic(remote: Remote) -> None:
    """A registry that refuses without a challenge wants user and password."""
    async with Simulator(users=USERS) as simulator:
        simulator.add_image("org/app", "1.0")
        simulator.on("*", "/manifests/", faults.status(401), times=1)
        await remote(simulator.host, user="alice", password="s3cret").resolve("1.0")
        assert simulator.seen[-1].authorization.startswith("Basic ")


@pytest.mark.parametrize("status", [403, 404])
async def test_a_registry_that_hides_is_asked_how_it_wants_to_be_asked(
    remote: Remote, status: int
) -> None:
    """Some answer strangers with 403 or 404: with a credential at hand, `/v2/` tells more."""
    async with Simulator(users=USERS) as simulator:
        simulator.users = None
        simulator.add_image("org/app", "1.0")
        await remote(simulator.host, user="x").resolve("1.0")
        app = remote(simulator.host, user="alice", password="s3cret")
        simulator.on("HEAD", "/manifests/", faults.status(status), times=1)
        assert (await app.resolve("1.0")).size > 0
        assert simulator.seen[-1].authorization.startswith("Basic ")


@pytest.mark.parametrize("field", ["token", "access_token"])
async def test_both_names_of_the_token_are_read(remote: Remote, field: str) -> None:
    """`token` and `access_token` mean the same."""
    async with Simulator(tokens=Tokens(field=field)) as simulator:
        simulator.add_image("org/app", "1.0")
        await remote(simulator.host).resolve("1.0")


async def test_an_identity_token_goes_by_oauth2(remote: Remote) -> None:
    """POST with grant_type=refresh_token; no Basic goes along."""
    async with Simulator(tokens=Tokens(identity_tokens=frozenset({"idt"}))) as simulator:
        simulator.add_image("org/app", "1.0")
        identity = access(credentials.Credential(identity_token="idt"))
        await remote(simulator.host, access=identity).resolve("1.0")
        (asked,) = [each for each in simulator.seen if each.path == "/token"]
    assert asked.method == "POST"
    assert asked.authorization == ""
    form = dict(urllib.parse.parse_qsl(asked.body.decode()))
    assert form == {
        "grant_type": "refresh_token",
        "refresh_token": "idt",
        "service": "simulator",
        "client_id": "ocisource",
        "scope": "repository:org/app:pull",
    }


async def test_docker_marks_an_identity_token_by_the_user(remote: Remote) -> None:
    """User `<token>` means that the password is an identity token."""
    async with Simulator(tokens=Tokens(identity_tokens=frozenset({"idt"}))) as simulator:
        simulator.add_image("org/app", "1.0")
        await remote(simulator.host, user="<token>", password="idt").resolve("1.0")
        assert simulator.tokens is not None
        assert simulator.tokens.issued == 1


async def test_a_token_service_without_oauth2_is_asked_with_get(remote: Remote) -> None:
    """404 to the POST: the GET form with user and password is what is left."""
    tokens = Tokens(users=USERS, flows=frozenset({"GET"}))
    async with Simulator(tokens=tokens) as simulator:
        simulator.add_image("org/app", "1.0")
        both = access(credentials.Credential("alice", "s3cret", identity_token="idt"))
        await remote(simulator.host, access=both).resolve("1.0")
        asked = [each.method for each in simulator.seen if each.path == "/token"]
    assert asked == ["POST", "GET"]


async def test_a_token_service_without_get_is_asked_with_post(remote: Remote) -> None:
    """405 to the GET: OAuth2 with the password grant."""
    tokens = Tokens(users=USERS, flows=frozenset({"POST"}))
    async with Simulator(tokens=tokens) as simulator:
        simulator.add_image("org/app", "1.0")
        await remote(simulator.host, user="alice", password="s3cret").resolve("1.0")
        asked = [each.method for each in simulator.seen if each.path == "/token"]
    assert asked == ["GET", "POST"]


async def test_a_registry_token_is_shown_as_it_is(remote: Remote) -> None:
    """No challenge is awaited and no token service asked."""
    async with Simulator(tokens=Tokens()) as simulator:
        simulator.add_image("org/app", "1.0")
        assert simulator.tokens is not None
        simulator.tokens.valid["ready"] = frozenset({"repository:org/app:pull"})
        ready = access(credentials.Credential(registry_token="ready"))
        await remote(simulator.host, access=ready).resolve("1.0")
        assert simulator.tokens.issued == 0
        assert simulator.seen[-1].authorization == "Bearer ready"


async def test_an_expired_token_on_a_public_image_is_explained(remote: Remote) -> None:
    """GHCR refuses a stale personal token even where nobody would be let in: the text says so."""
    async with Simulator(tokens=Tokens(users=USERS)) as simulator:
        simulator.add_image("org/app", "1.0")
        with pytest.raises(errors.UnauthorizedError) as caught:
            await remote(simulator.host, user="alice", password="stale").resolve("1.0")
        asked = [each for each in simulator.seen if each.path == "/token"]
    assert len(asked) == 1, "the refusal is told, not asked for twice"
    text = str(caught.value)
    token = f"GET http://{simulator.host}/token?service=simulator&scope="
    assert text.startswith(f"{simulator.host}/org/app:1.0: {token}")
    assert "incorrect username or password" in text
    assert f"the credential given for {simulator.host} is not accepted" in text
    assert "expired" in text
    assert "public" in text
    assert "stale" not in text


async def test_a_private_image_without_credential_is_explained(remote: Remote) -> None:
    """The registry's code, and what to do."""
    async with Simulator(users=USERS) as simulator:
        simulator.add_image("org/app", "1.0")
        with pytest.raises(errors.UnauthorizedError, match="UNAUTHORIZED") as caught:
            await remote(simulator.host).resolve("1.0")
    assert f"no credential for {simulator.host} was given" in str(caught.value)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"<html>hello</html>", "expected a token, got an HTML page"),
        (b"{}", "holds no usable token"),
        (b'{"token": "a b"}', "holds no usable token"),
        (b'{"token": "a\\r\\nX-Evil: 1"}', "holds no usable token"),
        (b'{"token": 7}', "expected a token"),
        (b'{"token": "' + b"x" * 70_000 + b'"}', "bigger than 65536 bytes"),
    ],
)
async def test_an_answer_without_a_token_is_an_error(
    remote: Remote, body: bytes, text: str
) -> None:
    """Whatever a token service sends, a header is made of a clean token only."""
    async with Simulator(tokens=Tokens()) as simulator:
        simulator.add_image("org/app", "1.0")
        simulator.on("*", "/token", faults.status(200, body=body))
        with pytest.raises((errors.RegistryError, errors.ContentError), match=text):
            await remote(simulator.host).resolve("1.0")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b'{"token":"very-secret-token","expires_in":'),
        (200, b'["very-secret-token"]'),
        (201, b'{"token":"very-secret-token"}'),
    ],
)
async def test_a_token_in_a_broken_answer_is_not_shown(
    remote: Remote, status: int, body: bytes
) -> None:
    """Cut off or under a strange status, it may still be a good token."""
    async with Simulator(tokens=Tokens()) as simulator:
        simulator.add_image("org/app", "1.0")
        simulator.on("*", "/token", faults.status(status, body=body))
        with pytest.raises(errors.RegistryError, match="/token") as caught:
            await remote(simulator.host).resolve("1.0")
    assert "very-secret" not in str(caught.value)


async def test_a_token_service_that_is_not_there_is_no_missing_tag(remote: Remote) -> None:
    """Its 404 speaks of its own address, and the text says whose word that address is."""
    async with Simulator(tokens=Tokens()) as simulator:
        simulator.add_image("org/app", "1.0")
        simulator.on("*", "/token", faults.status(404))
        with pytest.raises(errors.RegistryError, match="404 Not Found") as caught:
            await remote(simulator.host).resolve("1.0")
    assert not isinstance(caught.value, errors.NotFoundError)
    assert f"{simulator.host} names this address as its token service" in str(caught.value)


async def test_a_token_service_that_stumbles_is_asked_again(remote: Remote) -> None:
    """Temporary statuses and resets, as at the registry."""
    async with Simulator(tokens=Tokens()) as simulator:
        simulator.add_image("org/app", "1.0")
        simulator.on("*", "/token", faults.status(503), times=1)
        simulator.on("*", "/token", faults.reset(), times=1)
        await remote(simulator.host).resolve("1.0")


class _Cloud:
    """A keychain whose credential expires."""

    def __init__(self) -> None:
        self.password = "first"
        self.renewals = 0

    @property
    def fingerprint(self) -> str:
        """Stable."""
        return "cloud"

    async def credential(self, repository: reference.Repository) -> credentials.Credential | None:
        """What it has."""
        return credentials.Credential("AWS", self.password)

    async def renewed(
        self, repository: reference.Repository, stale: credentials.Credential
    ) -> credentials.Credential | None:
        """Another one."""
        self.renewals += 1
        self.password = "second"
        return credentials.Credential("AWS", self.password)


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_an_expired_cloud_credential_is_had_anew_once(remote: Remote, status: int) -> None:
    """ECR: Basic with a password that lives 12 hours, refused by 403 or 400 without challenge."""
    async with Simulator(users={"AWS": "second"}) as simulator:
        simulator.add_image("org/app", "1.0")
        cloud = _Cloud()
        refuse = faults.status(status, headers={"WWW-Authenticate": "Basic realm=ecr"})
        simulator.on("*", "/manifests/", refuse, times=3 if status == 401 else 2)
        app = remote(simulator.host, access=registry.Access(keychain=cloud))
        await app.resolve("1.0")
        assert cloud.renewals == 1


@pytest.mark.parametrize("has_password", [True, False])
def test_grants_hide_what_they_hold(has_password: bool) -> None:
    """No repr of the auth room shows a credential."""
    from ocisource.oci.authentication import auth

    grant = auth.Grant("Bearer very-secret" if has_password else None)
    assert "very-secret" not in repr(grant)
