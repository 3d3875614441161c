"""Real registries that want something of their clients: a password, a CA, a client certificate."""

import asyncio
import base64
import contextlib
import dataclasses
import json
import pathlib
import threading
from collections.abc import Iterator

from ocisource import digest as digests
from ocisource.kube import patch, resources
from ocisource.net import tls
from ocisource.oci import registry
from ocisource.oci.authentication import credentials
from tests.parts import certificates
from tests.parts import registry as parts
from tests.reconciler import world as worlds

USER, PASSWORD = "user", "open-sesame"
DOCKER_CONFIG = "kubernetes.io/dockerconfigjson"
FILES = {"app.yaml": b"kind: ConfigMap\n"}


def docker_config(host: str, password: str = PASSWORD) -> dict[str, str]:
    """The data of a pull Secret."""
    token = base64.b64encode(f"{USER}:{password}".encode()).decode()
    return {".dockerconfigjson": json.dumps({"auths": {host: {"auth": token}}})}


@dataclasses.dataclass(frozen=True, slots=True)
class Registries:
    """Three registries with one artifact, ``podinfo:latest``, in each."""

    basic: parts.Registry
    tls: parts.Registry
    mutual: parts.Registry
    digest: digests.Digest
    authority: certificates.Authority
    client: certificates.Pair

    @property
    def ca(self) -> str:
        """The authority as PEM."""
        return self.authority.certificate_pem.decode()

    @property
    def client_secret(self) -> dict[str, str]:
        """CA, certificate and key as a Secret has them."""
        return {
            "ca.crt": self.ca,
            "tls.crt": self.client.certificate_pem.decode(),
            "tls.key": self.client.key_pem.decode(),
        }


@contextlib.contextmanager
def running(folder: pathlib.Path, authority: certificates.Authority) -> Iterator[Registries]:
    """Start them and push to them."""
    server = authority.server("127.0.0.1", "localhost")
    client = authority.client("client")
    with contextlib.ExitStack() as stack:
        basic = stack.enter_context(parts.start(folder / "basic", users={USER: PASSWORD}))
        plain_tls = stack.enter_context(parts.start(folder / "tls", tls=server))
        mutual = stack.enter_context(
            parts.start(folder / "mutual", tls=server, client_authority=authority)
        )
        keychain = credentials.StaticKeychain(credentials.Credential(USER, PASSWORD))
        trust = authority.certificate_pem
        pair = (client.certificate_pem, client.key_pem)
        digest = _pushed(basic, registry.Access(keychain=keychain))
        _pushed(plain_tls, registry.Access(tls=tls.TLSIdentity(trust, None, None)))
        _pushed(mutual, registry.Access(tls=tls.TLSIdentity(trust, *pair)))
        yield Registries(basic, plain_tls, mutual, digest, authority, client)


def _pushed(part: parts.Registry, access: registry.Access) -> digests.Digest:
    found: list[digests.Digest] = []

    def push() -> None:
        found.append(asyncio.run(worlds.push(part.host, "podinfo", "latest", FILES, access=access)))

    # In a thread: a loop of its own, beside the one that the test will have.
    thread = threading.Thread(target=push)
    thread.start()
    thread.join()
    (digest,) = found
    return digest


async def add_account(world: worlds.World, name: str, *secrets: str) -> None:
    """Create a ServiceAccount with these image pull Secrets."""
    document = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": world.namespace},
        "imagePullSecrets": [{"name": secret} for secret in secrets],
    }
    await world.api.patch(
        resources.SERVICE_ACCOUNTS.metadata_only(),
        name,
        patch.apply(document),
        namespace=world.namespace,
        is_forced=True,
    )
