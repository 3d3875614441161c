"""Whose registry a host is: the tables of the three clouds. Pure.

A token of the cloud is shown to whoever answers under the host, so patterns are matched against
the whole host: ``….amazonaws.com.example.com`` is nobody's, nor is a host with a port.
"""

import dataclasses
import re
import typing

from ocisource import errors

# The partitions' suffixes: aws and aws-cn, the European sovereign cloud, iso-b, iso, iso-e, iso-f,
# and the names that answer over IPv6 too.
AWS_PATTERN: typing.Final = (
    r"^([0-9]+)\.dkr[.-]ecr(?:-fips)?\.([^/.]+)\."
    r"(amazonaws\.com(?:\.cn)?|amazonaws\.eu|sc2s\.sgov\.gov|c2s\.ic\.gov|cloud\.adc-e\.uk"
    r"|csp\.hci\.ic\.gov|on\.aws)$"
)
AWS_PUBLIC_HOST: typing.Final = "public.ecr.aws"
AWS_PUBLIC_REGION: typing.Final = "us-east-1"  # the only one that logs in to public ECR
AZURE_PATTERN: typing.Final = r"^.+\.(azurecr\.io|azurecr\.cn|azurecr\.de|azurecr\.us)$"
GCP_PATTERN: typing.Final = r"^(((.+\.)?gcr\.io)|(.+-docker\.pkg\.dev)|(docker\.s3nsregistry\.fr))$"

_AWS, _AZURE, _GCP = (re.compile(each) for each in (AWS_PATTERN, AZURE_PATTERN, GCP_PATTERN))


@dataclasses.dataclass(frozen=True, slots=True)
class ECR:
    """Where an ECR host logs in: its region, and whether it is the public gallery."""

    region: str
    is_public: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class ACR:
    """An ACR host, which issues its credentials itself."""

    host: str


@dataclasses.dataclass(frozen=True, slots=True)
class GAR:
    """Any host of Google's: one token serves them all."""


def aws(host: str) -> ECR:
    """The login place of an ECR host; raises CredentialError for another's host."""
    if host == AWS_PUBLIC_HOST:
        return ECR(AWS_PUBLIC_REGION, is_public=True)
    found = _AWS.fullmatch(host)
    if found is None:
        raise _misfit("AWS", host, AWS_PATTERN)
    return ECR(found.group(2))


def azure(host: str, *, private_suffix: str = "") -> ACR:
    """An ACR host; raises CredentialError for another's host.

    ``private_suffix`` is the DNS suffix of a cloud of one's own (``containerRegistryDNSSuffix``).
    """
    suffix = private_suffix.strip(".")
    is_private = bool(suffix) and host.endswith(f".{suffix}") and not host.startswith(".")
    if not is_private and _AZURE.fullmatch(host) is None:
        raise _misfit("Azure", host, AZURE_PATTERN)
    return ACR(host)


def gcp(host: str) -> GAR:
    """A host of Google's; raises CredentialError for another's."""
    if _GCP.fullmatch(host) is None:
        raise _misfit("GCP", host, GCP_PATTERN)
    return GAR()


def _misfit(cloud: str, host: str, pattern: str) -> errors.CredentialError:
    return errors.CredentialError(f"invalid {cloud} registry: '{host}'. must match {pattern}")
