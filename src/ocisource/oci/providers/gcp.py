"""Google Cloud: an access token is the registry's password.

The ambient identity is Application Default Credentials: a file, or the metadata server (GKE
Workload Identity among them). A ServiceAccount's token is exchanged at STS for a federated one,
which may then impersonate a Google service account.
"""

import contextlib
import dataclasses
import datetime
import os
import typing
from collections.abc import Callable, Mapping

from ocisource import errors
from ocisource.net import proxy as proxies
from ocisource.oci.authentication import credentials
from ocisource.oci.providers import calls, hosts, identity, tokens

EMAIL_ANNOTATION = "iam.gke.io/gcp-service-account"
EMAIL_PATTERN = r"^[a-zA-Z0-9-]{1,100}@[a-zA-Z0-9-]{1,100}\.iam\.gserviceaccount\.com$"
PROVIDER_ANNOTATION = "gcp.auth.fluxcd.io/workload-identity-provider"
PROVIDER_PATTERN = (
    r"^projects/\d{1,30}/locations/global/workloadIdentityPools/[^/]{1,100}/providers/[^/]{1,100}$"
)
SCOPES = (
    "https://www.googleapis.com/auth/cloud-platform",
    "https://www.googleapis.com/auth/userinfo.email",
)
USERNAME = "oauth2accesstoken"
_SUBJECT_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:jwt"  # noqa: S105
_NO_CLUSTER = (
    "failed to read the GKE cluster from the metadata server (outside GKE, name the pool's "
    f"provider in the annotation {PROVIDER_ANNOTATION})"
)
_METADATA_MAX = 4096  # characters of one value


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Google's places for federated identities."""

    sts: str = "https://sts.googleapis.com/v1/token"
    iam: str = "https://iamcredentials.googleapis.com/v1"


@dataclasses.dataclass(frozen=True, slots=True)
class GCP:
    """Artifact Registry and Container Registry."""

    run: calls.Calls
    wall: Callable[[], float]
    environ: Mapping[str, str] = dataclasses.field(default_factory=lambda: os.environ, repr=False)
    endpoints: Endpoints = Endpoints()
    name: typing.ClassVar[str] = "gcp"

    def target(self, host: str) -> hosts.GAR:
        """As of Provider."""
        return hosts.gcp(host)

    def who(self, account: identity.Account) -> str:
        """As of Provider: the service account to impersonate and the pool's provider, if any."""
        return f"{_email(account)} {_provider(account)}"

    async def issue(
        self,
        target: object,  # noqa: ARG002 - one token serves all hosts
        *,
        route: identity.Route,
        account: identity.Account | None,
    ) -> tokens.Issued:
        """As of Provider."""
        if account is None:
            with calls.stage(identity.token_stage(None)):
                token, expires_at = await self.run.run(
                    lambda: _ambient(route.proxy), proxy=route.proxy
                )
        else:
            with calls.stage(identity.ACCESS_TOKEN):
                pool, audience = await self._audience(account, route)
            subject = await account.issued(pool)
            with calls.stage(identity.token_stage(account)):
                token, expires_at = await self.run.run(
                    lambda: self._federated(account, audience, subject, route.proxy),
                    proxy=route.proxy,
                    secrets=(subject,),
                )
        return tokens.Issued(
            credentials.Credential(username=USERNAME, password=token), expires_at - self.wall()
        )

    async def _audience(self, account: identity.Account, route: identity.Route) -> tuple[str, str]:
        """Audiences of the ServiceAccount's token and of the exchange."""
        if named := _provider(account):
            audience = f"//iam.googleapis.com/{named}"
            return audience, audience
        with calls.stage(_NO_CLUSTER):
            project, location, cluster = await self.run.run(
                lambda: self._cluster(route.proxy), proxy=route.proxy
            )
        pool = f"{project}.svc.id.goog"
        return pool, (
            f"identitynamespace:{pool}:https://container.googleapis.com/v1/"
            f"projects/{project}/locations/{location}/clusters/{cluster}"
        )

    def _cluster(self, proxy: proxies.Proxy | None) -> tuple[str, str, str]:
        """Project, location and name of the GKE cluster we run on; blocking."""
        _, sessions = _libraries()
        host = self.environ.get("GCE_METADATA_HOST") or "metadata.google.internal"

        def value(path: str) -> str:
            answer = session.get(
                f"http://{host}/computeMetadata/v1/{path}", headers={"Metadata-Flavor": "Google"}
            )
            answer.raise_for_status()
            return str(answer.text)[:_METADATA_MAX].strip()

        with contextlib.closing(sessions.Session(proxy)) as session:
            attributes = "instance/attributes"
            return (
                value("project/project-id"),
                value(f"{attributes}/cluster-location"),
                value(f"{attributes}/cluster-name"),
            )

    def _federated(
        self, account: identity.Account, audience: str, subject: str, proxy: proxies.Proxy | None
    ) -> tuple[str, float]:
        """A token for a ServiceAccount's; blocking."""
        google, sessions = _libraries()
        email = _email(account)
        url = f"{self.endpoints.iam}/projects/-/serviceAccounts/{email}:generateAccessToken"

        found = google.identity_pool.Credentials(
            audience=audience,
            subject_token_type=_SUBJECT_TOKEN_TYPE,
            token_url=self.endpoints.sts,
            subject_token_supplier=_Supplier(subject),
            scopes=list(SCOPES),
            service_account_impersonation_url=url if email else None,
        )
        return _refreshed(found, google, sessions, proxy)


@dataclasses.dataclass(frozen=True, slots=True)
class _Supplier:
    """Gives the library the token that we have; all it asks of a supplier is this method."""

    token: str = dataclasses.field(repr=False)

    def get_subject_token(self, context: object, request: object) -> str:  # noqa: ARG002
        """The ServiceAccount's token."""
        return self.token


class _Google(typing.NamedTuple):
    default: typing.Any
    identity_pool: typing.Any
    transport: typing.Any


def _libraries() -> tuple[_Google, typing.Any]:
    try:
        import google.auth  # noqa: PLC0415 - an extra
        from google.auth import identity_pool  # noqa: PLC0415
        from google.auth.transport import requests as transport  # noqa: PLC0415

        from ocisource.oci.providers import sessions  # noqa: PLC0415
    except ImportError as error:
        raise calls.missing("gcp", error) from error
    return _Google(google.auth.default, identity_pool, transport), sessions


def _ambient(proxy: proxies.Proxy | None) -> tuple[str, float]:
    """A token of Application Default Credentials; blocking."""
    google, sessions = _libraries()
    with contextlib.closing(sessions.Session(proxy)) as session:
        request = google.transport.Request(session=session)
        found, _ = google.default(scopes=list(SCOPES), request=request)
    return _refreshed(found, google, sessions, proxy)


def _refreshed(
    found: typing.Any, google: _Google, sessions: typing.Any, proxy: proxies.Proxy | None
) -> tuple[str, float]:
    """Token and end (seconds since 1970) of credentials that are asked anew."""
    with contextlib.closing(sessions.Session(proxy)) as session:
        found.refresh(google.transport.Request(session=session))
    if not isinstance(found.token, str) or not found.token or found.expiry is None:
        raise errors.CredentialError("the answer holds no access token with an expiry")
    # The library's times are UTC without saying so.
    return found.token, found.expiry.replace(tzinfo=datetime.UTC).timestamp()


def _email(account: identity.Account) -> str:
    return account.annotation(EMAIL_ANNOTATION, pattern=EMAIL_PATTERN, is_required=False)


def _provider(account: identity.Account) -> str:
    return account.annotation(PROVIDER_ANNOTATION, pattern=PROVIDER_PATTERN, is_required=False)
