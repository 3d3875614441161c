"""Azure: a token of Entra ID, exchanged at the registry for a refresh token of its own.

::

    Entra ID   --access token-->   POST https://{host}/oauth2/exchange   --refresh token-->   login

The ambient identity is what ``azure-identity`` finds: variables, Workload Identity, managed
identity, and for the command line ``az``. A ServiceAccount names tenant and client in annotations.
"""

import asyncio
import base64
import binascii
import contextlib
import dataclasses
import http
import pathlib
import typing
import urllib.parse
from collections.abc import Callable, Mapping

import msgspec

from ocisource import errors
from ocisource.oci import limits
from ocisource.oci.authentication import credentials
from ocisource.oci.hosts import answers, connections, guard
from ocisource.oci.providers import calls, hosts, identity, tokens

TENANT_ANNOTATION = "azure.workload.identity/tenant-id"
CLIENT_ANNOTATION = "azure.workload.identity/client-id"
ID_PATTERN = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
AUDIENCE = "api://AzureADTokenExchange"
USERNAME = "00000000-0000-0000-0000-000000000000"
REGISTRY_AUDIENCE = "https://containerregistry.azure.net"
ENVIRONMENT_FILE = "AZURE_ENVIRONMENT_FILEPATH"
AUTHORITY = "AZURE_AUTHORITY_HOST"

_ENVIRONMENT_MAX = 64 * 1024  # bytes of the environment file
_AUTHORITIES = {
    ".azurecr.cn": "https://login.chinacloudapi.cn",
    ".azurecr.us": "https://login.microsoftonline.us",
}


class _Environment(msgspec.Struct, rename="camel"):
    """A cloud of one's own, as its file describes it."""

    container_registry_suffix: str = msgspec.field(default="", name="containerRegistryDNSSuffix")
    resource_manager_endpoint: str = ""
    token_audience: str = ""


class _Exchanged(msgspec.Struct):
    refresh_token: str = ""


class _Claims(msgspec.Struct):
    exp: float


@dataclasses.dataclass(frozen=True, slots=True)
class Azure:
    """Azure Container Registry; ``has_shell`` lets the ``az`` command be asked too."""

    run: calls.Calls
    wall: Callable[[], float]
    environ: Mapping[str, str] = dataclasses.field(repr=False)
    has_shell: bool = False
    contexts: connections.Contexts = dataclasses.field(
        default_factory=connections.Contexts, repr=False
    )
    name: typing.ClassVar[str] = "azure"

    def target(self, host: str) -> hosts.ACR:
        """As of Provider."""
        return hosts.azure(host, private_suffix=self._environment().container_registry_suffix)

    def who(self, account: identity.Account) -> str:
        """As of Provider: tenant and client."""
        tenant = account.annotation(TENANT_ANNOTATION, pattern=ID_PATTERN)
        return f"{tenant}/{account.annotation(CLIENT_ANNOTATION, pattern=ID_PATTERN)}"

    async def issue(
        self, target: object, *, route: identity.Route, account: identity.Account | None
    ) -> tokens.Issued:
        """As of Provider."""
        assert isinstance(target, hosts.ACR)
        assertion = "" if account is None else await account.issued(AUDIENCE)
        who = "" if account is None else self.who(account)
        with calls.stage(identity.token_stage(account)):
            token = await self.run.run(
                lambda: self._access_token(target, route, who, assertion),
                proxy=route.proxy,
                secrets=(assertion,),
            )
        with calls.stage(identity.REGISTRY_CREDENTIALS):
            refresh = await self._exchange(target, route, token)
            lifetime = expiry(refresh) - self.wall()
        return tokens.Issued(credentials.Credential(username=USERNAME, password=refresh), lifetime)

    def _environment(self) -> _Environment:
        path = self.environ.get(ENVIRONMENT_FILE, "")
        if not path:
            return _Environment()
        try:
            with pathlib.Path(path).open("rb") as file:
                return msgspec.json.decode(file.read(_ENVIRONMENT_MAX), type=_Environment)
        except (OSError, RecursionError, UnicodeDecodeError, msgspec.MsgspecError) as error:
            raise errors.CredentialError(
                f"cannot read the file that {ENVIRONMENT_FILE} names: {self.run.words(str(error))}"
            ) from None

    def _access_token(
        self, target: hosts.ACR, route: identity.Route, who: str, assertion: str
    ) -> str:
        """A token of Entra ID for registries; blocking."""
        try:
            import azure.identity as sdk  # noqa: PLC0415 - an extra
            from azure.core.pipeline import transport  # noqa: PLC0415

            from ocisource.oci.providers import sessions  # noqa: PLC0415
        except ImportError as error:
            raise calls.missing("azure", error) from error
        environment = self._environment()
        audience = environment.token_audience or environment.resource_manager_endpoint
        scope = f"{(audience or REGISTRY_AUDIENCE).rstrip('/')}/.default"
        with contextlib.closing(sessions.Session(route.proxy)) as session:
            options: dict[str, typing.Any] = {
                "transport": transport.RequestsTransport(session=session, session_owner=False),
                "retry_total": calls.ATTEMPTS - 1,
            }
            suffix = "." + ".".join(target.host.rsplit(".", 2)[-2:])
            if self.environ.get(AUTHORITY):
                # Named by the operator: not to be looked up at the public cloud's.
                options["authority"] = self.environ[AUTHORITY]
                options["disable_instance_discovery"] = True
            elif suffix in _AUTHORITIES:
                options["authority"] = _AUTHORITIES[suffix]
            credential: typing.Any
            if who:
                tenant, _, client = who.partition("/")
                credential = sdk.ClientAssertionCredential(
                    tenant, client, lambda: assertion, **options
                )
            else:
                credential = sdk.DefaultAzureCredential(**options, **self._exclusions())
            token = credential.get_token(scope).token
        if not isinstance(token, str) or not token:
            raise errors.CredentialError("the answer holds no access token")
        return token

    def _exclusions(self) -> dict[str, bool]:
        """A service asks no developer's tools; the command line asks ``az``."""
        return {
            "exclude_cli_credential": not self.has_shell,
            "exclude_developer_cli_credential": True,
            "exclude_powershell_credential": True,
            "exclude_shared_token_cache_credential": True,
            "exclude_visual_studio_code_credential": True,
            "exclude_broker_credential": True,
            "exclude_interactive_browser_credential": True,
        }

    async def _exchange(self, target: hosts.ACR, route: identity.Route, token: str) -> str:
        """The registry's refresh token for an access token; raises CredentialError."""
        url = f"https://{target.host}/oauth2/exchange"
        form = {"grant_type": "access_token", "service": target.host, "access_token": token}
        way = connections.Way(host=target.host, tls=route.tls, proxy=route.proxy)
        opened = connections.Connections(way, contexts=self.contexts, settings=limits.DEFAULT)
        try:
            with self.run.timed():
                async with asyncio.timeout(self.run.deadline):
                    response = await opened.send(
                        "POST",
                        url,
                        role=guard.Role.HOME,
                        headers={"Content-Type": "application/x-www-form-urlencoded"},
                        data=urllib.parse.urlencode(form).encode(),
                    )
                    answer = await answers.read(
                        response, bound=limits.DEFAULT.token_size, what="the exchange's answer"
                    )
        except errors.TransportError as error:
            raise errors.CredentialError(error.text) from error
        finally:
            await opened.close()
        if answer.status != http.HTTPStatus.OK:
            said = self.run.words(answer.body.decode(errors="replace"), secrets=(token,))
            raise errors.CredentialError(f"POST {url}: status {answer.status}: {said}")
        try:
            refresh = msgspec.json.decode(answer.body, type=_Exchanged).refresh_token
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            raise errors.CredentialError(f"POST {url}: the answer is not JSON") from None
        if not refresh:
            raise errors.CredentialError(f"POST {url}: the answer holds no refresh_token")
        return refresh


def expiry(token: str) -> float:
    """When a JWT ends, in seconds since 1970; its signature is the registry's business.

    Raises CredentialError.
    """
    try:
        payload = token.split(".")[1]
        decoded = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
        return msgspec.json.decode(decoded, type=_Claims).exp
    except (IndexError, ValueError, RecursionError, binascii.Error, msgspec.MsgspecError):
        raise errors.CredentialError(
            "the registry's refresh token is no JWT with an expiry"
        ) from None
