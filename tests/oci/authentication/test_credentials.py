"""Pull Secrets serve the repositories they should, and no others."""

import base64
import json
from collections.abc import Mapping

import hypothesis
import pytest
from hypothesis import strategies

from ocisource import errors
from ocisource.oci.authentication import credentials
from ocisource.oci.grammar.reference import Repository
from tests.parts import fuzz

HOST = "fake.registry.io"


def secret(auths: Mapping[str, object]) -> tuple[str, Mapping[str, bytes]]:
    """A Secret of type dockerconfigjson."""
    content = json.dumps({"auths": auths}).encode()
    return credentials.DOCKER_CONFIG_JSON, {".dockerconfigjson": content}


def keys(*names: str) -> credentials.PullSecrets:
    """Pull Secrets whose every entry has its own key as the user."""
    auths = {name: {"username": name, "password": "p"} for name in names}
    return credentials.PullSecrets.from_secrets([secret(auths)])


def user(secrets: credentials.PullSecrets, name: str) -> str:
    """User for a repository, "" for anonymous."""
    found = secrets.find(Repository.parse(name))
    return found.username if found else ""


NESTED = (HOST, f"{HOST}/nested", f"{HOST}/nested/repo", f"{HOST}/par")
HOSTS = (HOST, f"1.{HOST}", "https://other.io/v1/", "https://third.io/v2/")


@pytest.mark.parametrize(
    ("names", "repository", "expected"),
    [
        pytest.param([f"{HOST}:5000"], f"{HOST}:5000/org/repo", f"{HOST}:5000", id="P1-host"),
        pytest.param([f"{HOST}:5000"], f"{HOST}:5001/org/repo", "", id="P1-other-port"),
        pytest.param([f"{HOST}:5000"], f"{HOST}/org/repo", "", id="P1-no-port"),
        pytest.param([f"{HOST}:443"], f"{HOST}/org/repo", "", id="P1-443-is-not-absent"),
        pytest.param(NESTED, f"{HOST}/nested", f"{HOST}/nested", id="P2-nested"),
        pytest.param(
            NESTED, f"{HOST}/nested/repo/dirt", f"{HOST}/nested/repo", id="P2-longest-wins"
        ),
        pytest.param(NESTED, f"{HOST}/partial", f"{HOST}/par", id="P2-plain-prefix"),
        pytest.param(NESTED, f"{HOST}/else", HOST, id="P2-root"),
        pytest.param(HOSTS, f"{HOST}/org/repo", HOST, id="P3-exact"),
        pytest.param(HOSTS, f"1.{HOST}/org/repo", f"1.{HOST}", id="P3-other-exact"),
        pytest.param(HOSTS, f"2.{HOST}/org/repo", "", id="P3-third-is-anonymous"),
        pytest.param(HOSTS, "other.io/any/repo", "https://other.io/v1/", id="P4-v1"),
        pytest.param(HOSTS, "third.io/any/repo", "https://third.io/v2/", id="P4-v2"),
        pytest.param(["index.docker.io"], "ubuntu", "index.docker.io", id="P5-official"),
        pytest.param(["index.docker.io"], "knative/serving", "index.docker.io", id="P5-org"),
        pytest.param(
            ["https://index.docker.io/v1/"], "nginx", "https://index.docker.io/v1/", id="P5-key"
        ),
        pytest.param(["*.registry.io"], f"{HOST}/org/repo", "*.registry.io", id="P6-glob"),
        pytest.param(["*.registry.io"], "registry.io/org/repo", "", id="P6-a-label-is-needed"),
        pytest.param(["*.registry.io"], "a.b.registry.io/org/repo", "", id="P6-one-label-only"),
        pytest.param(["docker.io"], "nginx", "", id="P10-docker.io-is-not-docker-hub"),
        pytest.param(["[::1]:5000"], "[::1]:5000/org/repo", "[::1]:5000", id="IPv6"),
        pytest.param(["https://u@h.io/x"], "h.io/x/y", "https://u@h.io/x", id="userinfo-in-key"),
    ],
)
def test_p_the_right_entry_serves_a_repository(
    names: list[str], repository: str, expected: str
) -> None:
    """Acceptance P 1-6 and 10: host, port and path matching."""
    assert user(keys(*names), repository) == expected


@pytest.mark.parametrize("scheme", ["http://", "https://", ""])
@pytest.mark.parametrize("level", ["", "/", "/org", "/org/repo"])
def test_p7_the_scheme_of_a_key_does_not_matter(scheme: str, level: str) -> None:
    """Acceptance P 7: keys at host, org and repo level, with and without a scheme."""
    key = f"{scheme}{HOST}{level}"
    assert user(keys(key), f"{HOST}/org/repo") == key


@pytest.mark.parametrize("text", ["user:pass:word", "ünï:pass:word", "u:pass:word"])
@pytest.mark.parametrize("is_padded", [True, False])
def test_p8_auth_alone_gives_user_and_password(text: str, *, is_padded: bool) -> None:
    """Acceptance P 8: base64 with and without padding, split at the first colon."""
    auth = base64.b64encode(text.encode()).decode()
    entry = {"auth": auth if is_padded else auth.rstrip("="), "username": "x", "password": "y"}
    found = credentials.PullSecrets.from_secrets([secret({HOST: entry})]).find(
        Repository.parse(f"{HOST}/org/repo")
    )
    assert found is not None
    assert (found.username, found.password) == (text.partition(":")[0], "pass:word")


@pytest.mark.parametrize(
    ("auth", "cause"),
    [
        ("!!!", "illegal base64 data"),
        ("dTpw=", "illegal base64 padding"),
        (base64.b64encode(b"nocolon").decode(), "must be formatted as base64"),
        ("A" * 70000, "longer than"),
    ],
)
def test_an_undecodable_auth_fails_the_run_without_showing_it(auth: str, cause: str) -> None:
    """The message says which Secret, which entry and why, not what is in it."""
    good = {"username": "u", "password": "p"}
    broken = secret({"ghcr.io": good, f"user:word@{HOST}": {"auth": auth}})
    pattern = f"^secret 'apps/pull': entry '{HOST}': unable to decode auth field: ({cause})"
    with pytest.raises(errors.CredentialError, match=pattern) as caught:
        credentials.PullSecrets.from_secrets([broken], names=["apps/pull"])
    assert auth not in str(caught.value)


def test_an_empty_password_is_a_password() -> None:
    """Some registries take a token as the user and nothing as the password."""
    assert credentials.decode_auth("dTo=") == ("u", "")


def test_bytes_that_are_no_text_reach_the_registry_unchanged() -> None:
    """A Latin-1 password of old is sent as it was stored."""
    raw = b"user:p\xe4ss"
    username, password = credentials.decode_auth(base64.b64encode(raw).decode())
    assert base64.b64decode(credentials.Credential(username, password).basic) == raw


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(("Opaque", {".dockerconfigjson": b'{"auths": {"a.io": {}}}'}), id="P9"),
        pytest.param(("kubernetes.io/basic-auth", {"username": b"u"}), id="P9-basic"),
        pytest.param((credentials.DOCKER_CONFIG_JSON, {}), id="no-key"),
        pytest.param((credentials.DOCKER_CONFIG_JSON, {".dockerconfigjson": b""}), id="empty"),
        pytest.param((credentials.DOCKER_CONFIG_JSON, {".dockerconfigjson": b"{}"}), id="no-auths"),
        pytest.param((credentials.DOCKER_CFG, {".dockercfg": b'{"a.io": null}'}), id="null"),
        pytest.param(secret({"a.io": {}}), id="empty-entry"),
    ],
)
def test_p9_secrets_that_hold_no_credentials(other: tuple[str, Mapping[str, bytes]]) -> None:
    """Acceptance P 9: another type, or nothing inside, means anonymous."""
    secrets = credentials.PullSecrets.from_secrets([other])
    assert secrets.find(Repository.parse("a.io/org/repo")) is None
    assert secrets.fingerprint == ""


def test_dockercfg_is_the_map_itself() -> None:
    """The older type has no ``auths`` around its entries."""
    content = json.dumps({HOST: {"username": "u", "password": "p", "email": "e@x"}}).encode()
    data = {".dockercfg": content}
    secrets = credentials.PullSecrets.from_secrets([(credentials.DOCKER_CFG, data)])
    assert user(secrets, f"{HOST}/a/b") == "u"


def test_helpers_in_a_secret_mean_nothing() -> None:
    """``credsStore`` and ``credHelpers`` would run programs; they are passed over."""
    content = b'{"credsStore": "x", "credHelpers": {"a.io": "y"}}'
    data = {".dockerconfigjson": content}
    secrets = credentials.PullSecrets.from_secrets([(credentials.DOCKER_CONFIG_JSON, data)])
    assert not secrets.entries


def test_of_the_same_key_in_two_secrets_the_first_wins() -> None:
    """Trap 8 of the behaviour reference, also across spellings of the key."""
    secrets = credentials.PullSecrets.from_secrets(
        [
            secret({f"https://{HOST}/v1/": {"username": "first", "password": "p"}}),
            secret({HOST: {"username": "second", "password": "p"}}),
        ]
    )
    assert user(secrets, f"{HOST}/a/b") == "first"


@pytest.mark.parametrize(
    "content",
    [b"{", b"[]", b'{"auths": []}', b'{"auths": {"a": {"auth": 1}}}', b'{"auths": {"\xff": null}}'],
)
def test_malformed_json_is_an_error_that_shows_no_content(content: bytes) -> None:
    """The message names the key of the Secret, and how to make a good one."""
    data = {".dockerconfigjson": content}
    told = r"^cannot read '\.dockerconfigjson': .*; 'kubectl create secret docker-registry' writes"
    with pytest.raises(errors.CredentialError, match=told):
        credentials.PullSecrets.from_secrets([(credentials.DOCKER_CONFIG_JSON, data)])


def test_tokens_are_kept_apart() -> None:
    """Identity and registry tokens come through."""
    entry = {"identitytoken": "refresh", "registrytoken": "bearer"}
    found = credentials.PullSecrets.from_secrets([secret({HOST: entry})]).find(
        Repository.parse(f"{HOST}/a/b")
    )
    assert found == credentials.Credential(identity_token="refresh", registry_token="bearer")


@pytest.mark.parametrize("token", ["a b", "a\r\nX-Evil: 1", "a\0"])
def test_attack_a_token_cannot_add_a_header(token: str) -> None:
    """A token with control characters is refused, and not shown."""
    with pytest.raises(errors.CredentialError) as caught:
        credentials.PullSecrets.from_secrets([secret({HOST: {"registrytoken": token}})])
    assert token not in str(caught.value)


def test_no_repr_shows_a_credential() -> None:
    """Neither the credential nor any keychain prints what it holds."""
    found = credentials.Credential("alice", "hunter2", "refresh-me", "bearer-me")
    secrets = credentials.PullSecrets.from_secrets(
        [secret({HOST: {"username": "alice", "password": "hunter2"}})]
    )
    shown = [found, secrets, credentials.StaticKeychain(found), credentials.Entry(auth="hunter2")]
    for text in (f"{shown!r}", f"{shown!s}", f"{found}"):
        for private in ("alice", "hunter2", "refresh-me", "bearer-me"):
            assert private not in text


def test_fingerprints_tell_credentials_apart() -> None:
    """Equal for equal ones, different if any part moves, empty for anonymous."""
    assert credentials.Credential().fingerprint == credentials.Credential().basic == ""
    assert repr(credentials.Credential()) == "Credential(anonymous)"
    assert (
        credentials.Credential("a", "b").fingerprint == credentials.Credential("a", "b").fingerprint
    )
    different = {
        credentials.Credential(*parts).fingerprint
        for parts in [("a", "b"), ("ab", ""), ("", "ab"), ("a", "c"), ("", "", "a", "b")]
    }
    assert len(different) == 5
    one = keys(HOST).fingerprint
    assert keys(HOST, "a.io").fingerprint == keys("a.io", HOST).fingerprint != one


async def test_keychains_answer_for_repositories() -> None:
    """The protocol over all three keychains."""
    repository = Repository.parse(f"{HOST}/a/b")
    static = credentials.StaticKeychain(credentials.Credential("u", "p"))
    keychains: list[credentials.Keychain] = [credentials.ANONYMOUS, static, keys(HOST)]
    found = [await keychain.credential(repository) for keychain in keychains]
    assert [credential.username if credential else "" for credential in found] == ["", "u", HOST]
    assert [bool(keychain.fingerprint) for keychain in keychains] == [False, True, True]


def test_creds_are_a_pair_or_a_bearer_token() -> None:
    """``--creds`` splits at the first colon; without one it is a ready token."""
    assert credentials.from_creds("u:p:q") == credentials.Credential("u", "p:q")
    assert credentials.from_creds("abc") == credentials.Credential(registry_token="abc")


@fuzz.counted()
@hypothesis.given(content=strategies.binary(), key=strategies.text())
def test_any_secret_is_read_or_refused_with_our_error(content: bytes, key: str) -> None:
    """Fuzz: contents and keys of Secrets."""
    repository = Repository("a.io", "org/repo")
    for kind, data in (
        (credentials.DOCKER_CONFIG_JSON, {".dockerconfigjson": content}),
        secret({key: {"username": "u"}}),
    ):
        try:
            credentials.PullSecrets.from_secrets([(kind, data)]).find(repository)
        except errors.CredentialError as error:
            assert error.text  # noqa: PT017 - either way is right, nothing else may be raised
