"""Against real parts: docker-registry with users, TLS and client certificates; nginx in front."""

import contextlib
import json
import random
from collections.abc import Callable

import pytest

from ocisource import digest as digests
from ocisource import errors
from ocisource.net.tls import TLSIdentity
from ocisource.oci import registry
from ocisource.oci.authentication import credentials
from ocisource.oci.grammar import manifest
from tests.oci.conftest import Remote
from tests.parts import certificates, nginx, processes
from tests.parts import registry as parts
from tests.simulators import relay

USERS = {"alice": "s3cret"}
ALICE = credentials.StaticKeychain(credentials.Credential("alice", "s3cret"))
WRONG = credentials.StaticKeychain(credentials.Credential("alice", "wr0ng"))
LAYER = b"a layer of some bytes" * 1000

Registries = Callable[..., parts.Registry]
Nginxes = Callable[..., nginx.Nginx]


async def push(app: registry.RemoteRepository, *tags: str) -> manifest.Descriptor:
    """Push one small image under tags."""
    described = manifest.Descriptor(manifest.FLUX_CONTENT, len(LAYER), digests.Digest.of(LAYER))
    await app.upload_blob(described, LAYER)
    layer = {
        "mediaType": manifest.FLUX_CONTENT,
        "digest": str(described.digest),
        "size": described.size,
    }
    content = {
        "schemaVersion": 2,
        "mediaType": manifest.OCI_MANIFEST,
        "config": {**layer, "mediaType": manifest.FLUX_CONFIG},
        "layers": [layer],
    }
    body = json.dumps(content).encode()
    for tag in tags:
        found = await app.put_manifest(body, media_type=manifest.OCI_MANIFEST, reference=tag)
    return found


async def pull(app: registry.RemoteRepository, tag: str) -> bytes:
    """The first layer of what a tag points to."""
    found = await app.resolve(tag)
    described, body = await app.manifest(found.digest)
    parsed = manifest.parse(body, media_type=described.media_type)
    assert isinstance(parsed, manifest.Manifest)
    layer = manifest.select_layer(parsed)
    return b"".join([chunk async for chunk in app.blob(layer)])


def answered(front: nginx.Nginx, method: str, count: int) -> list[nginx.Exchange]:
    """The requests with a method, once there are so many: nginx logs just after it answers."""

    def found() -> list[nginx.Exchange]:
        return [each for each in front.exchanges() if each.method == method]

    processes.poll(lambda: len(found()) >= count, what=f"{count} x {method}")
    return found()


async def test_users_with_passwords(start_registry: Registries, remote: Remote) -> None:
    """Acceptance C.2, C.4, C.5: the right password, none, and a wrong one."""
    part = start_registry(users=USERS)
    alice = remote(part.host, access=registry.Access(keychain=ALICE))
    await push(alice, "1.0")
    assert await pull(alice, "1.0") == LAYER
    with pytest.raises(errors.UnauthorizedError, match=r"UNAUTHORIZED.*no credential for"):
        await remote(part.host).resolve("1.0")
    with pytest.raises(errors.UnauthorizedError, match=r"UNAUTHORIZED.*is not accepted") as caught:
        await remote(part.host, access=registry.Access(keychain=WRONG)).resolve("1.0")
    assert "wr0ng" not in str(caught.value)


async def test_a_check_without_change_is_one_request(
    start_registry: Registries, remote: Remote
) -> None:
    """Counted at the registry: one HEAD with credentials at hand, and nothing else."""
    part = start_registry(users=USERS)
    alice = remote(part.host, access=registry.Access(keychain=ALICE))
    await push(alice, "1.0")
    await alice.resolve("1.0")
    processes.poll(
        lambda: any(each.method == "HEAD" for each in part.exchanges()), what="the first check"
    )
    before = len(part.exchanges())
    for _ in range(5):
        await remote(part.host, access=registry.Access(keychain=ALICE)).resolve("1.0")
    processes.poll(lambda: len(part.exchanges()) >= before + 5, what="five requests")
    seen = part.exchanges()[before:]
    assert [(each.method, each.status) for each in seen] == [("HEAD", 200)] * 5


async def test_tls_with_an_authority_of_ones_own(
    start_registry: Registries, remote: Remote, authority: certificates.Authority
) -> None:
    """Acceptance C.7, C.9: known with the CA, refused without, in the words of x509."""
    part = start_registry(tls=authority.server())
    trusting = registry.Access(tls=TLSIdentity(ca_pem=authority.certificate_pem))
    app = remote(part.host, access=trusting)
    await push(app, "1.0")
    assert await pull(app, "1.0") == LAYER
    with pytest.raises(errors.TransportError) as caught:
        await remote(part.host).resolve("1.0")
    assert (
        "tls: failed to verify certificate: x509: certificate signed by unknown authority"
        in str(caught.value)
    )


async def test_a_certificate_for_another_name_is_refused(
    start_registry: Registries, remote: Remote, authority: certificates.Authority
) -> None:
    """The authority is trusted, the name is not the one that was asked for."""
    part = start_registry(tls=authority.server("registry.example.com"))
    trusting = registry.Access(tls=TLSIdentity(ca_pem=authority.certificate_pem))
    with pytest.raises(errors.TransportError, match="x509: certificate is valid for another"):
        await remote(part.host, access=trusting).resolve("1.0")


async def test_an_expired_certificate_is_refused(
    start_registry: Registries, remote: Remote, authority: certificates.Authority
) -> None:
    """In the words that users search for."""
    part = start_registry(tls=authority.server(is_expired=True))
    trusting = registry.Access(tls=TLSIdentity(ca_pem=authority.certificate_pem))
    with pytest.raises(errors.TransportError, match="x509: certificate has expired"):
        await remote(part.host, access=trusting).resolve("1.0")


async def test_insecure_takes_any_certificate(
    start_registry: Registries, remote: Remote, authority: certificates.Authority
) -> None:
    """`insecure` without certSecretRef turns the check off; with one it stays on."""
    part = start_registry(tls=authority.server())
    insecure = remote(part.host, access=registry.Access(is_insecure=True))
    await push(insecure, "1.0")
    assert await pull(insecure, "1.0") == LAYER
    other = certificates.Authority.create("another one")
    strict = registry.Access(is_insecure=True, tls=TLSIdentity(ca_pem=other.certificate_pem))
    with pytest.raises(errors.TransportError, match="x509: "):
        await remote(part.host, access=strict).resolve("1.0")


async def test_insecure_speaks_plain_http(start_registry: Registries, remote: Remote) -> None:
    """Acceptance C.1: HTTPS is tried first and fails, plain HTTP answers and is remembered."""
    part = start_registry()
    app = remote(part.host, access=registry.Access(is_insecure=True))
    await push(app, "1.0")
    assert await pull(app, "1.0") == LAYER
    processes.poll(
        lambda: any("/blobs/" in each.path for each in part.exchanges() if each.method == "GET"),
        what="the blob's request",
    )
    assert [each.path for each in part.exchanges()].count("/v2/") == 1


async def test_client_certificates(
    start_registry: Registries, remote: Remote, authority: certificates.Authority
) -> None:
    """Acceptance C.14, C.15: with certificate and key, and without."""
    part = start_registry(tls=authority.server(), client_authority=authority)
    client = authority.client()
    identity = TLSIdentity(
        ca_pem=authority.certificate_pem,
        certificate_pem=client.certificate_pem,
        key_pem=client.key_pem,
    )
    app = remote(part.host, access=registry.Access(tls=identity))
    await push(app, "1.0")
    assert await pull(app, "1.0") == LAYER
    bare = registry.Access(tls=TLSIdentity(ca_pem=authority.certificate_pem))
    with pytest.raises(
        errors.TransportError, match=r"remote error: tls: (bad certificate|certificate required)"
    ):
        await remote(part.host, access=bare).resolve("1.0")
    with pytest.raises(errors.TransportError, match="tls: failed to verify certificate: x509: "):
        await remote(part.host).resolve("1.0")


async def test_tenants_do_not_share_connections(
    start_registry: Registries,
    start_nginx: Nginxes,
    remote: Remote,
) -> None:
    """As nginx numbers its connections: each credential has its own, and keeps it."""
    part = start_registry()
    await push(remote(part.host), "1.0")
    front = start_nginx(
        "server { listen 127.0.0.1:@PORT@; location / {"
        f" proxy_pass {part.url}; proxy_set_header Host $http_host; }} }}"
    )
    for _ in range(3):
        for user in ("", "alice", "bob"):
            await remote(front.host, user=user).resolve("1.0")
    heads = answered(front, "HEAD", 9)
    assert len(heads) == 9
    assert len({each.connection for each in heads}) == 3
    assert [each.connection for each in heads[:3]] == [each.connection for each in heads[3:6]]


TOKEN_FRONT = """
map $http_authorization $is_let_in { default 0; "Bearer good-token" 1; }
map $http_authorization $is_alice { default 0; "Basic YWxpY2U6czNjcmV0" 1; }
server {
  listen 127.0.0.1:@PORT0@;
  location / {
    if ($is_let_in = 0) {
      add_header WWW-Authenticate 'Bearer realm="http://127.0.0.1:@PORT1@/auth",service="nginx"'
        always;
      return 401 '{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}';
    }
    proxy_pass %s;
    proxy_set_header Host $http_host;
  }
}
server {
  listen 127.0.0.1:@PORT1@;
  location = /auth {
    if ($is_alice = 0) { return 401 '{"details":"incorrect username or password"}'; }
    default_type application/json;
    return 200 '{"access_token":"good-token","expires_in":300}';
  }
}
"""


async def test_a_token_protected_front(
    start_registry: Registries, start_nginx: Nginxes, remote: Remote
) -> None:
    """A token service of its own; with a warm token one request goes to the registry."""
    part = start_registry()
    await push(remote(part.host), "1.0")
    front = start_nginx(TOKEN_FRONT % part.url, count=2)
    alice = remote(front.host, access=registry.Access(keychain=ALICE))
    assert await pull(alice, "1.0") == LAYER
    answered(front, "GET", 4)  # scheme, token, manifest, blob
    before = len(front.exchanges())
    for _ in range(2):
        await alice.resolve("1.0")
    assert [each.status for each in answered(front, "HEAD", 3)] == [200] * 3
    assert len(front.exchanges()) == before + 2
    with pytest.raises(errors.UnauthorizedError, match="incorrect username or password"):
        await remote(front.host, access=registry.Access(keychain=WRONG)).resolve("1.0")


LIMITED_FRONT = """
limit_req_zone $binary_remote_addr zone=one:1m rate=1r/m;
limit_req_status 429;
server {
  listen 127.0.0.1:@PORT@;
  error_page 429 @limited;
  location @limited {
    add_header Retry-After 300 always;
    return 429 '{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}';
  }
  location / { proxy_pass %(url)s; proxy_set_header Host $http_host; }
  location ~ /manifests/ {
    limit_req zone=one burst=2 nodelay;
    proxy_pass %(url)s;
    proxy_set_header Host $http_host;
  }
}
"""


async def test_a_rate_limiting_front(
    start_registry: Registries, start_nginx: Nginxes, remote: Remote
) -> None:
    """After the first refusal not one more request is made, until the time has passed."""
    part = start_registry()
    await push(remote(part.host), "1.0")
    front = start_nginx(LIMITED_FRONT % {"url": part.url})
    app = remote(front.host)
    for _ in range(3):
        await app.resolve("1.0")
    for _ in range(5):
        with pytest.raises(errors.TooManyRequestsError) as caught:
            await app.resolve("1.0")
        assert caught.value.retry_after == pytest.approx(300, abs=5)
    heads = answered(front, "HEAD", 4)
    assert [each.status for each in heads] == [200, 200, 200, 429]


REDIRECTING_FRONT = """
server {
  listen 127.0.0.1:@PORT0@;
  location ~ /blobs/ { return 307 http://127.0.0.1:@PORT1@$request_uri?sig=abc; }
  location / { proxy_pass %(url)s; proxy_set_header Host $http_host; }
}
server {
  listen 127.0.0.1:@PORT1@;
  location / {
    if ($http_authorization) { return 400; }
    proxy_pass %(url)s;
    proxy_set_header Authorization "Basic YWxpY2U6czNjcmV0";
  }
}
"""


async def test_blobs_on_a_storage_host(
    start_registry: Registries, start_nginx: Nginxes, remote: Remote
) -> None:
    """A host that answers 400 to whoever shows a credential, as presigned URLs do."""
    part = start_registry(users=USERS)
    await push(remote(part.host, access=registry.Access(keychain=ALICE)), "1.0")
    front = start_nginx(REDIRECTING_FRONT % {"url": part.url}, count=2)
    alice = remote(front.host, access=registry.Access(keychain=ALICE))
    assert await pull(alice, "1.0") == LAYER


async def test_a_registry_that_restarts_is_found_again(
    start_registry: Registries, remote: Remote
) -> None:
    """Kept connections die with it; the next check makes new ones."""
    part = start_registry()
    app = remote(part.host)
    await push(app, "1.0")
    await app.resolve("1.0")
    part.stop()
    with pytest.raises(errors.TransportError):
        await app.resolve("1.0")
    part.restart()
    await app.resolve("1.0")


async def test_a_blob_cut_on_its_way_is_taken_up_with_range(
    start_registry: Registries, remote: Remote
) -> None:
    """Twice cut in the middle, the real registry sends the rest alone: 206."""
    content = random.Random(11).randbytes(32 << 20)  # more than any socket holds back
    described = manifest.Descriptor(manifest.FLUX_CONTENT, len(content), digests.Digest.of(content))
    part = start_registry()
    await remote(part.host).upload_blob(described, content)
    async with relay.running(part.port) as between:
        found = bytearray()
        app = remote(f"127.0.0.1:{between.port}")
        async with contextlib.aclosing(app.blob(described)) as chunks:
            async for chunk in chunks:
                if not found or len(found) < len(content) // 2 <= len(found) + len(chunk):
                    await between.cut()
                found += chunk
    assert bytes(found) == content

    def answered_in_part() -> list[int]:
        return [each.status for each in part.exchanges() if each.method == "GET"][-3:]

    processes.poll(lambda: answered_in_part() == [200, 206, 206], what="three answers")
