"""ServiceAccounts that cannot be read, or whose tokens are refused, in all clouds."""

import dataclasses

import pytest

from ocisource import errors
from ocisource.oci.grammar import reference
from ocisource.oci.providers import aws, azure, gcp, identity, logins

ID = "11111111-1111-1111-1111-111111111111"
ANNOTATIONS = {
    aws.ROLE_ANNOTATION: "arn:aws:iam::111122223333:role/reader",
    azure.TENANT_ANNOTATION: ID,
    azure.CLIENT_ANNOTATION: ID,
    gcp.PROVIDER_ANNOTATION: "projects/1/locations/global/workloadIdentityPools/p/providers/c",
}
HOSTS = [
    ("aws", "123456789012.dkr.ecr.us-east-1.amazonaws.com"),
    ("azure", "foo.azurecr.io"),
    ("gcp", "gcr.io"),
]


@dataclasses.dataclass(frozen=True, slots=True)
class Broken:
    """An identity.AccountSource whose account is gone, or may have no token."""

    is_gone: bool

    async def read(self) -> identity.Account:
        """As of AccountSource."""
        if self.is_gone:
            raise errors.CredentialError("failed to get service account 'apps/reader': not found")
        return identity.Account(
            namespace="apps", name="reader", annotations=ANNOTATIONS, token=self.refuse
        )

    async def refuse(self, audience: str) -> str:
        """No token."""
        raise errors.CredentialError("failed to create kubernetes token: forbidden")


@pytest.mark.parametrize(("provider", "host"), HOSTS)
@pytest.mark.parametrize(
    ("is_gone", "words"),
    [
        (True, "failed to get service account 'apps/reader': not found"),
        (False, "failed to create kubernetes token: forbidden"),
    ],
)
async def test_what_kubernetes_refuses_is_part_of_the_access_token(
    provider: str, host: str, is_gone: bool, words: str, cloud_logins: logins.Clouds
) -> None:
    """The same words in front, whichever the cloud."""
    keychain = cloud_logins.keychain(provider, account=Broken(is_gone))
    with pytest.raises(errors.CredentialError) as caught:
        await keychain.credential(reference.Repository(host, "app"))
    assert caught.value.text == f"failed to get access token for artifact registry: {words}"


async def test_an_unknown_provider_is_named(cloud_logins: logins.Clouds) -> None:
    """With those there are."""
    with pytest.raises(errors.CredentialError) as caught:
        cloud_logins.keychain("ibm")
    text = "unknown provider 'ibm', must be one of: generic, aws, azure, gcp"
    assert caught.value.text == text
