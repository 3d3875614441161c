"""Hosts are recognised as their cloud's, whole."""

import pytest

from ocisource import errors
from ocisource.oci.providers import hosts

ACCOUNT = "012345678901"


@pytest.mark.parametrize(
    ("host", "region"),
    [
        (f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com", "us-east-1"),
        (f"{ACCOUNT}.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        (f"{ACCOUNT}.dkr.ecr.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
        (f"{ACCOUNT}.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        (f"{ACCOUNT}.dkr.ecr.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1"),
        (f"{ACCOUNT}.dkr.ecr.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"),
        (f"{ACCOUNT}.dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk", "eu-isoe-west-1"),
        (f"{ACCOUNT}.dkr.ecr.us-isof-south-1.csp.hci.ic.gov", "us-isof-south-1"),
        ("557238627320.dkr-ecr.us-west-2.on.aws", "us-west-2"),
    ],
)
def test_an_ecr_host_names_its_region(host: str, region: str) -> None:
    """All partitions, FIPS and the dual-stack names."""
    assert hosts.aws(host) == hosts.ECR(region)


def test_public_ecr_logs_in_at_us_east_1() -> None:
    """The gallery has one login for the world."""
    assert hosts.aws("public.ecr.aws") == hosts.ECR("us-east-1", is_public=True)


@pytest.mark.parametrize(
    "host",
    [
        "gcr.io",
        "foo.azurecr.io",
        "localhost:5000",
        "ecr.us-east-1.amazonaws.com",
        # Each of these could be had by anybody, and would be shown the token.
        f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com.example.com",
        f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com.nc",
        f"{ACCOUNT}xdkr.ecr.us-east-1.amazonaws.com",
        f"example.com{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com",
        f"{ACCOUNT}.dkr.ecr.us-east-1.evil-amazonaws.com",
        f"{ACCOUNT}.dkr.ecr.example.com.us-east-1.amazonaws.com",
        f"{ACCOUNT}.lambda-url.us-east-1.on.aws",
        ".dkr.ecr.us-east-1.amazonaws.com",
        "public.ecr.aws.example.com",
        "evil.public.ecr.aws",
        "public-ecr.aws",
        f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com:8443",
    ],
)
def test_another_host_is_not_aws(host: str) -> None:
    """The error names the host and what it must look like."""
    with pytest.raises(errors.CredentialError) as caught:
        hosts.aws(host)
    text = f"invalid AWS registry: '{host}'. must match {hosts.AWS_PATTERN}"
    assert caught.value.text == text


@pytest.mark.parametrize("suffix", ["io", "cn", "de", "us"])
def test_acr_hosts(suffix: str) -> None:
    """All of Azure's clouds."""
    assert hosts.azure(f"foo.azurecr.{suffix}") == hosts.ACR(f"foo.azurecr.{suffix}")


@pytest.mark.parametrize(
    "host",
    [
        "foo.azurecr.com",
        ".azurecr.io",
        f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com",
        "foo.azurecr.io.example.com",
        "foo.private.example",
        "foo.azurecr.io:443",
        "foo.azurecr.io\n",
        "foo.azurecr.io.",
        "evilazurecr.io",
        "evil-azurecr.io",
        "azurecr.io",
    ],
)
def test_another_host_is_not_azure(host: str) -> None:
    """A suffix counts only at the end, a private one only when it is configured."""
    with pytest.raises(errors.CredentialError, match=r"^invalid Azure registry: '"):
        hosts.azure(host)


def test_a_private_cloud_has_a_suffix_of_its_own() -> None:
    """The environment file's suffix is one more."""
    found = hosts.azure("foo.private.example", private_suffix="private.example")
    assert found == hosts.ACR("foo.private.example")
    for other in (".private.example", "fooprivate.example", "private.example"):
        with pytest.raises(errors.CredentialError):
            hosts.azure(other, private_suffix="private.example")


@pytest.mark.parametrize(
    "host",
    ["gcr.io", "a.gcr.io", "eu.gcr.io", "a-docker.pkg.dev", "docker.s3nsregistry.fr"],
)
def test_google_hosts(host: str) -> None:
    """Container Registry, Artifact Registry, and the sovereign one in France."""
    assert hosts.gcp(host) == hosts.GAR()


@pytest.mark.parametrize(
    "host",
    [
        ".gcr.io",
        "-docker.pkg.dev",
        "u-france-east1-docker.s3nsregistry.fr",
        "a.docker.s3nsregistry.fr",
        "docker.io",
        "ghcr.io",
        "gcr.io.example.com",
        "gcr.io\n",
        "gcr.io:443",
        "evilgcr.io",
        "evil-gcr.io",
        "a-docker.pkg.dev.example.com",
        "a-docker.evil-pkg.dev",
        "docker.pkg.dev",
        "pkg.dev",
        "docker.s3nsregistry.fr.example.com",
        "evil-docker.s3nsregistry.fr",
    ],
)
def test_another_host_is_not_googles(host: str) -> None:
    """Nothing that merely looks alike."""
    with pytest.raises(errors.CredentialError, match=r"^invalid GCP registry: '"):
        hosts.gcp(host)
