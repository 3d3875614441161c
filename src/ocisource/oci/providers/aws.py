"""AWS: ECR's GetAuthorizationToken, as the ambient identity or as a ServiceAccount's role.

The ambient identity is whatever ``botocore`` finds: IRSA, Pod Identity, instance roles, variables,
profiles. A ServiceAccount names its role in an annotation; its token is exchanged at STS.
"""

import base64
import binascii
import dataclasses
import datetime
import typing
from collections.abc import Callable

from ocisource import errors
from ocisource.net import proxy as proxies
from ocisource.oci.authentication import credentials
from ocisource.oci.providers import calls, hosts, identity, tokens

ROLE_ANNOTATION = "eks.amazonaws.com/role-arn"
ROLE_PATTERN = r"^arn:aws[\w-]*:iam::[0-9]{1,30}:role/.{1,200}$"
AUDIENCE = "sts.amazonaws.com"
_SESSION_NAME_MAX = 64  # characters, STS's bound


@dataclasses.dataclass(frozen=True, slots=True)
class _WebIdentity:
    role: str
    session_name: str
    token: str = dataclasses.field(repr=False)


class _Descriptions:
    """What botocore reads of its services' descriptions, once: it is most of a login's CPU."""

    def __init__(self) -> None:
        self._loader: typing.Any = None

    def share(self, session: typing.Any) -> None:
        """Give a session the loader of the first one, which holds all that it has read."""
        if self._loader is None:
            self._loader = session.get_component("data_loader")
        else:
            session.register_component("data_loader", self._loader)


@dataclasses.dataclass(frozen=True, slots=True)
class AWS:
    """Elastic Container Registry, private and public."""

    run: calls.Calls
    wall: Callable[[], float]
    descriptions: _Descriptions = dataclasses.field(default_factory=_Descriptions, repr=False)
    name: typing.ClassVar[str] = "aws"

    def target(self, host: str) -> hosts.ECR:
        """As of Provider."""
        return hosts.aws(host)

    def who(self, account: identity.Account) -> str:
        """As of Provider: the role."""
        return account.annotation(ROLE_ANNOTATION, pattern=ROLE_PATTERN)

    async def issue(
        self, target: object, *, route: identity.Route, account: identity.Account | None
    ) -> tokens.Issued:
        """As of Provider."""
        assert isinstance(target, hosts.ECR)
        web: _WebIdentity | None = None
        if account is not None:
            name = f"{account.name}.{account.namespace}.{target.region}.fluxcd.io"
            token = await account.issued(AUDIENCE)
            web = _WebIdentity(self.who(account), name[:_SESSION_NAME_MAX], token)
        secrets = () if web is None else (web.token,)
        with calls.stage(identity.token_stage(account)):
            login = await self.run.run(
                lambda: _Login.open(target, route.proxy, web, self.descriptions),
                proxy=route.proxy,
                secrets=secrets,
            )
        with calls.stage(identity.REGISTRY_CREDENTIALS):
            token, expires_at = await self.run.run(
                lambda: login.authorization(target), proxy=route.proxy, secrets=login.keys[1:]
            )
            return tokens.Issued(read_authorization(token), expires_at.timestamp() - self.wall())


@dataclasses.dataclass(frozen=True, slots=True)
class _Login:
    """A botocore session and the credentials it works with; blocking."""

    session: typing.Any = dataclasses.field(repr=False)
    keys: tuple[str, str, str] = dataclasses.field(repr=False)  # the last is a session's, or ""

    @classmethod
    def open(
        cls,
        target: hosts.ECR,
        proxy: proxies.Proxy | None,
        web: _WebIdentity | None,
        descriptions: _Descriptions,
    ) -> typing.Self:
        try:
            import botocore  # noqa: PLC0415 - an extra
            import botocore.config  # noqa: PLC0415
            import botocore.session  # noqa: PLC0415
        except ImportError as error:
            raise calls.missing("aws", error) from error
        session = botocore.session.Session()
        descriptions.share(session)
        options: dict[str, typing.Any] = {}
        if proxy is not None:
            url = proxy.url_with_credentials
            options["proxies"] = {"http": url, "https": url}
        session.set_default_client_config(
            botocore.config.Config(
                connect_timeout=calls.CONNECT_TIMEOUT,
                read_timeout=calls.DEADLINE,
                retries={"total_max_attempts": calls.ATTEMPTS, "mode": "standard"},
                **options,
            )
        )
        if not session.get_config_variable("region"):
            session.set_config_variable("region", target.region)
        if web is None:
            found = session.get_credentials()
            if found is None:
                raise errors.CredentialError(
                    "no AWS credentials found: give the controller a role (IRSA, Pod Identity, "
                    "an instance profile) or the usual AWS variables"
                )
            frozen = found.get_frozen_credentials()
            return cls(session, (frozen.access_key, frozen.secret_key, frozen.token or ""))
        unsigned = botocore.config.Config(signature_version=botocore.UNSIGNED)
        client = session.create_client("sts", region_name=target.region, config=unsigned)
        answer = client.assume_role_with_web_identity(
            RoleArn=web.role, RoleSessionName=web.session_name, WebIdentityToken=web.token
        )["Credentials"]
        keys = (answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"])
        return cls(session, keys)

    def authorization(self, target: hosts.ECR) -> tuple[str, datetime.datetime]:
        """The token and when it ends."""
        access_key, secret_key, token = self.keys
        client = self.session.create_client(
            "ecr-public" if target.is_public else "ecr",
            region_name=target.region,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            aws_session_token=token or None,
        )
        data = client.get_authorization_token().get("authorizationData")
        found: list[dict[str, typing.Any]] = [data or {}] if target.is_public else (data or [])
        entry = found[0] if found else {}
        if not entry.get("authorizationToken"):
            raise errors.CredentialError("no authorization data in ECR's answer")
        expires_at = entry.get("expiresAt")
        if not isinstance(expires_at, datetime.datetime):
            raise errors.CredentialError("ECR's answer does not say when the token expires")
        return str(entry["authorizationToken"]), expires_at


def read_authorization(token: str) -> credentials.Credential:
    """The credential in ECR's token, base64 of ``user:password``; raises CredentialError."""
    try:
        user, password = base64.b64decode(token, validate=True).decode().split(":")
    except (binascii.Error, UnicodeDecodeError):
        raise errors.CredentialError("ECR's authorization token is not base64") from None
    except ValueError:
        raise errors.CredentialError("ECR's authorization token is not user:password") from None
    return credentials.Credential(username=user, password=password)
