"""`ocisource create secret oci|tls|proxy NAME`: the Secrets that sources refer to."""

import base64
import json
import pathlib
import typing
from collections.abc import Mapping, Sequence

import click

from ocisource import errors
from ocisource.cli import choice, cluster, labels, output, shared

_FILE_MAX = 1 << 20  # bytes of a certificate, key or CA file: what a Secret may hold

Document = dict[str, typing.Any]
_PATH = click.Path(path_type=pathlib.Path)
_LABEL = click.option("--label", "label", multiple=True, metavar="K=V", help="Labels; comma list.")
_EXPORT = click.option(
    "--export", "is_export", is_flag=True, help="Print YAML instead of creating it."
)
_USERNAME = click.option("-u", "--username", default="", help="User name.")
_PASSWORD = click.option("-p", "--password", default="", help="Password, or a token.")


@shared.command()
@click.argument("names", nargs=-1, metavar="NAME")
@click.option("--url", default="", metavar="HOST[/REPO]", help="What the login is for.")
@_USERNAME
@_PASSWORD
@_LABEL
@_EXPORT
@shared.cluster_options
@click.pass_context
def oci(
    ctx: click.Context, /, *, names: Sequence[str], chosen: choice.Chosen, **values: typing.Any
) -> None:
    """Create or update a Secret with a registry's login.

    \b
    Examples:
      ocisource create secret oci ghcr --url ghcr.io -u me -p "$GITHUB_TOKEN"
      ocisource create secret oci ghcr --url ghcr.io/org/app -u me -p token --export
    """  # noqa: D301
    from ocisource.oci.grammar import reference  # noqa: PLC0415

    name = labels.checked_name(names)
    for flag in ("url", "username", "password"):
        if not values[flag]:
            raise errors.UsageError(f"--{flag} is required")
    _check_url(values["url"], reference.Reference.parse)
    login = {"username": values["username"], "password": values["password"]}
    pair = f"{login['username']}:{login['password']}".encode()
    login["auth"] = base64.b64encode(pair).decode()
    content = json.dumps({"auths": {values["url"]: login}}, indent=2, ensure_ascii=False)
    secret = {
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": content},
    }
    ctx.exit(_finish(name, secret, "oci", values, chosen, end="\n"))


@shared.command()
@click.argument("names", nargs=-1, metavar="NAME")
@click.option("--tls-crt-file", type=_PATH, help="Client certificate, PEM.")
@click.option("--tls-key-file", type=_PATH, help="Key of the client certificate, PEM.")
@click.option("--ca-crt-file", type=_PATH, help="CA that the server's certificate is from, PEM.")
@_LABEL
@_EXPORT
@shared.cluster_options
@click.pass_context
def tls(
    ctx: click.Context, /, *, names: Sequence[str], chosen: choice.Chosen, **values: typing.Any
) -> None:
    """Create or update a Secret with a certificate pair, a CA, or both.

    \b
    Examples:
      ocisource create secret tls certs --tls-crt-file client.crt --tls-key-file client.key
      ocisource create secret tls ca --ca-crt-file ca.crt
    """  # noqa: D301
    name = labels.checked_name(names)
    found: dict[str, str] = {}
    for key, option, failure in (
        ("ca.crt", "ca_crt_file", "unable to read TLS CA file"),
        ("tls.crt", "tls_crt_file", "failed to read cert file"),
        ("tls.key", "tls_key_file", "failed to read key file"),
    ):
        if values[option] is not None:
            found[key] = _text_of(values[option], failure)
    _check_tls(found, values)
    kind = "kubernetes.io/tls" if "tls.crt" in found else "Opaque"
    ctx.exit(_finish(name, {"type": kind, "stringData": found}, "tls", values, chosen))


@shared.command()
@click.argument("names", nargs=-1, metavar="NAME")
@click.option("--address", default="", metavar="URL", help="http, https or socks5 address.")
@_USERNAME
@_PASSWORD
@_LABEL
@_EXPORT
@shared.cluster_options
@click.pass_context
def proxy(
    ctx: click.Context, /, *, names: Sequence[str], chosen: choice.Chosen, **values: typing.Any
) -> None:
    """Create or update a Secret with a proxy's address.

    \b
    Examples:
      ocisource create secret proxy office --address https://proxy.example.com:3128
      ocisource create secret proxy office --address http://proxy:3128 -u me -p secret
    """  # noqa: D301
    from ocisource.net import proxy as proxies  # noqa: PLC0415

    name = labels.checked_name(names)
    if not values["address"]:
        raise errors.UsageError("address is required")
    try:
        proxies.Proxy.parse(values["address"])
    except errors.CredentialError as error:
        raise errors.UsageError(error.text) from None
    keys = ("address", "username", "password")
    data = {key: values[key] for key in keys if values[key]}
    secret = {"type": "Opaque", "stringData": data}
    ctx.exit(_finish(name, secret, "proxy", values, chosen, end="\n"))


def _check_url(text: str, parse: typing.Callable[[str], object]) -> None:
    """Make sure that the key under ``auths`` is a host, or a repository on one."""
    try:
        is_host = "/" not in text and ("." in text or ":" in text or text == "localhost")
        parse(f"{text}/probe" if is_host else text)
    except errors.OcisourceError as error:
        raise errors.UsageError(f"error parsing url: '{error.text}'") from None


def _text_of(path: pathlib.Path, failure: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_FILE_MAX + 1)
    except OSError as error:
        raise errors.UsageError(f"{failure}: {path}: {error.strerror}") from None
    if len(content) > _FILE_MAX:
        raise errors.UsageError(f"{failure}: {path}: larger than {_FILE_MAX} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise errors.UsageError(f"{failure}: {path}: not PEM text") from None


def _check_tls(found: Mapping[str, str], files: Mapping[str, typing.Any]) -> None:
    """Raise UsageError unless there is a pair that fits, or a CA."""
    from ocisource.net import tls as identities  # noqa: PLC0415

    if "tls.crt" in found and "tls.key" not in found:
        raise errors.UsageError("found certificate but missing private key")
    if "tls.key" in found and "tls.crt" not in found:
        raise errors.UsageError("found private key but missing certificate")
    if not found:
        raise errors.UsageError("no CA certificate or client certificate pair found")
    pem = {key: text.encode() for key, text in found.items()}
    origin = identities.Origin(
        ca=str(files["ca_crt_file"]), pair=f"{files['tls_crt_file']} and {files['tls_key_file']}"
    )
    try:
        identities.TLSIdentity(
            ca_pem=pem.get("ca.crt"),
            certificate_pem=pem.get("tls.crt"),
            key_pem=pem.get("tls.key"),
        ).validated(origin=origin)
    except errors.CredentialError as error:
        text = error.text
        if text.startswith(identities.PAIR_FAILED):
            text = f"invalid TLS certificate and key pair: {text[len(identities.PAIR_FAILED) :]}"
        raise errors.UsageError(text) from None


def _finish(
    name: str,
    secret: Document,
    word: str,
    values: Mapping[str, typing.Any],
    chosen: choice.Chosen,
    *,
    end: str = "",
) -> int:
    """Print the Secret, or create or update it."""
    found = labels.parse(values["label"])

    def document(namespace: str) -> Document:
        metadata: Document = {"name": name, "namespace": namespace}
        if found:
            metadata["labels"] = found
        return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, **secret}

    if values["is_export"]:
        output.write(output.document(document(labels.namespace(chosen))) + end)
        return 0

    async def work(connection: cluster.Connection) -> None:
        await _upsert(connection, document(connection.namespace))
        where = f"in '{connection.namespace}' namespace"
        output.say(output.SUCCESS, f"{word} secret '{name}' created {where}")

    return cluster.run(chosen, work)


async def _upsert(connection: cluster.Connection, wanted: Document) -> None:
    """Create the Secret, or write its keys and labels into the one that is there."""
    from ocisource.kube import answers, patch, resources  # noqa: PLC0415

    secrets = resources.SECRETS.metadata_only()
    name = wanted["metadata"]["name"]
    change = {"stringData": wanted["stringData"]}
    if found := wanted["metadata"].get("labels"):
        change["metadata"] = {"labels": found}
    try:
        await connection.api.patch(
            secrets, name, patch.merge(change), namespace=connection.namespace
        )
    except errors.APIStatusError as error:
        if not answers.is_not_found(error):
            raise
        await connection.api.create(
            resources.SECRETS.read_as(dict), wanted, namespace=connection.namespace
        )
