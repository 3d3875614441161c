"""`ocisource create source oci NAME`: create or update an OCIRepository, then wait for it."""

import dataclasses
import typing
from collections.abc import Mapping, Sequence

import click

from ocisource import errors
from ocisource.api import ocirepository
from ocisource.cli import choice, cluster, flags, labels, output, shared
from ocisource.cli.sources import export, waiting
from ocisource.wire import durations

KIND = ocirepository.KIND
PROVIDERS = ("generic", "aws", "azure", "gcp")
VERIFIERS = ("cosign", "notation")
_NO_ARTIFACT = "no artifact was found"

Document = dict[str, typing.Any]


class _Chosen(click.ParamType[str]):
    """One of several words, with flux's error text."""

    name = "name"

    def __init__(self, what: str, words: Sequence[str]) -> None:
        self._what = what
        self._words = words

    def convert(
        self, value: typing.Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """The word, checked."""
        if value not in self._words:
            known = ", ".join(filter(None, self._words))
            self.fail(
                f"{self._what} '{value}' is not supported, must be one of: {known}", param, ctx
            )
        return str(value)


def _text(name: str, help_: str, **more: typing.Any) -> typing.Callable[[typing.Any], typing.Any]:
    return click.option(name, **({"default": ""} | more), help=help_)


@shared.command()
@click.argument("names", nargs=-1, metavar="NAME")
@_text("--url", "Address of the repository, oci://HOST/REPO.", metavar="URL")
@_text("--tag", "Tag to follow.")
@_text("--tag-semver", "Range of versions to follow.", metavar="RANGE")
@_text("--digest", "Digest to stay at.", metavar="sha256:HEX")
@click.option(
    "--interval",
    type=flags.Duration(),
    default=60.0,
    help="How often the registry is asked.  [default: 1m0s]",
)
@click.option(
    "--fetch-timeout", type=flags.Duration(), default=0.0, help="How long a fetch may take."
)
@click.option(
    "--provider",
    type=_Chosen("source OCI provider", PROVIDERS),
    default=PROVIDERS[0],
    show_default=True,
    help=f"Whose login is used: {', '.join(PROVIDERS)}.",
)
@_text("--secret-ref", "Secret with the registry's login.", metavar="SECRET")
@_text("--cert-ref", "Secret with TLS certificates.", metavar="SECRET")
@_text("--proxy-secret-ref", "Secret with a proxy's address.", metavar="SECRET")
@_text("--service-account", "ServiceAccount whose pull Secrets are used.", metavar="NAME")
@click.option(
    "--verify-provider",
    type=_Chosen("source OCI verify provider", ("", *VERIFIERS)),
    default="",
    help=f"Who signed the artifact: {', '.join(VERIFIERS)}.",
)
@_text("--verify-secret-ref", "Secret with the signers' keys.", metavar="SECRET")
@_text("--verify-issuer", "Issuer of a keyless signature (regular expression).")
@_text("--verify-subject", "Subject of a keyless signature (regular expression).")
@click.option(
    "--ignore-paths",
    multiple=True,
    metavar="PATTERNS",
    help="What is left out of the artifact, as in .gitignore; comma list, repeatable.",
)
@click.option("--insecure", is_flag=True, help="Allow plain HTTP and any certificate.")
@_text("--layer-selector", "Which layer, and whether to extract or copy it.", metavar="TYPE:OP")
@click.option("--label", "label", multiple=True, metavar="K=V", help="Labels; comma list.")
@click.option("--export", "is_export", is_flag=True, help="Print YAML instead of creating it.")
@shared.cluster_options
@click.pass_context
def oci(
    ctx: click.Context, /, *, names: Sequence[str], chosen: choice.Chosen, **values: typing.Any
) -> None:
    """Create or update an OCIRepository, and wait until it is reconciled.

    \b
    Examples:
      ocisource create source oci podinfo --url oci://ghcr.io/stefanprodan/manifests/podinfo \\
        --tag-semver 6.x --interval 10m
      ocisource create source oci app --url oci://ghcr.io/org/app --tag v1 --secret-ref ghcr
      ocisource create source oci app --url oci://ghcr.io/org/app --tag v1 --export > app.yaml
    """  # noqa: D301
    name = labels.checked_name(names)
    spec = _spec(values)
    found = labels.parse(values["label"])
    if values["is_export"]:
        output.write(output.document(_document(name, labels.namespace(chosen), found, spec)))
        ctx.exit(0)

    async def work(connection: cluster.Connection) -> None:
        document = _document(name, connection.namespace, found, spec)
        output.say(output.ACTION, f"applying {KIND}")
        is_new = await _upsert(connection, document)
        output.say(output.SUCCESS, f"{KIND} {'created' if is_new else 'updated'}")
        output.say(output.WAITING, f"waiting for {KIND} reconciliation")
        try:
            obj = await waiting.settled(
                connection, name, is_judged=waiting.is_observed, seconds=chosen.timeout
            )
        except errors.ContentError as error:
            raise errors.ContentError(f"{KIND} reconciliation failed: '{error.text}'") from error
        output.say(output.SUCCESS, f"{KIND} reconciliation completed")
        if obj.status.artifact is None:
            raise errors.ContentError(_NO_ARTIFACT)
        output.say(output.SUCCESS, f"fetched revision: {waiting.revision(obj)}")

    ctx.exit(cluster.run(chosen, work))


def _document(
    name: str, namespace: str, found: Mapping[str, str], spec: Mapping[str, typing.Any]
) -> Document:
    metadata: Document = {"name": name, "namespace": namespace}
    if found:
        metadata["labels"] = dict(found)
    api_version = f"{ocirepository.GROUP}/{ocirepository.VERSIONS[0]}"
    return export.exported(
        {"apiVersion": api_version, "kind": KIND, "metadata": metadata, "spec": dict(spec)}
    )


async def _upsert(connection: cluster.Connection, document: Document) -> bool:
    """Create it, or replace spec and labels of the one that is there; whether it is new."""
    from ocisource.kube import answers  # noqa: PLC0415

    name, namespace = document["metadata"]["name"], connection.namespace
    document = document | {"apiVersion": f"{ocirepository.GROUP}/{connection.version}"}
    try:
        standing = await connection.api.get(connection.documents, name, namespace=namespace)
    except errors.APIStatusError as error:
        if not answers.is_not_found(error) or cluster.is_kind_unknown(error):
            raise
        await connection.api.create(connection.documents, document, namespace=namespace)
        return True
    metadata = dict(standing["metadata"])
    metadata.pop("labels", None)
    if wanted := document["metadata"].get("labels"):
        metadata["labels"] = wanted
    replaced = standing | {"metadata": metadata, "spec": document["spec"]}
    await connection.api.update(connection.documents, name, replaced, namespace=namespace)
    return False


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    """A flag and the field of the spec that it becomes."""

    flag: str
    path: tuple[str, ...]


_FIELDS = (
    _Field("secret_ref", ("secretRef", "name")),
    _Field("cert_ref", ("certSecretRef", "name")),
    _Field("proxy_secret_ref", ("proxySecretRef", "name")),
    _Field("service_account", ("serviceAccountName",)),
    _Field("tag", ("ref", "tag")),
    _Field("tag_semver", ("ref", "semver")),
    _Field("digest", ("ref", "digest")),
    _Field("verify_provider", ("verify", "provider")),
    _Field("verify_secret_ref", ("verify", "secretRef", "name")),
)


def _spec(values: Mapping[str, typing.Any]) -> Document:
    """The spec that the flags say; raises UsageError."""
    _check_required(values)
    spec: Document = {
        "url": values["url"],
        "interval": durations.format_seconds(values["interval"]),
        "provider": values["provider"],
    }
    if values["fetch_timeout"] > 0:
        spec["timeout"] = durations.format_seconds(values["fetch_timeout"])
    if values["layer_selector"]:
        spec["layerSelector"] = _layer_selector(values["layer_selector"])
    labels.parse(values["label"])
    _check_verification(values)
    for field in _FIELDS:
        if values[field.flag]:
            inner = spec
            for key in field.path[:-1]:
                inner = inner.setdefault(key, {})
            inner[field.path[-1]] = values[field.flag]
    if values["verify_issuer"] or values["verify_subject"]:
        identity = {"issuer": values["verify_issuer"], "subject": values["verify_subject"]}
        spec["verify"]["matchOIDCIdentity"] = [identity]
    patterns = labels.comma_list(values["ignore_paths"])
    more = {"ignore": "\n".join(patterns), "insecure": values["insecure"]}
    return spec | {key: value for key, value in more.items() if value}


def _check_required(values: Mapping[str, typing.Any]) -> None:
    if not values["url"]:
        raise errors.UsageError("url is required")
    if not (values["tag"] or values["tag_semver"] or values["digest"]):
        raise errors.UsageError("--tag, --tag-semver or --digest is required")


def _layer_selector(text: str) -> Document:
    media_type, colon, operation = text.partition(":")
    if not colon or not media_type:
        raise errors.UsageError(
            f"invalid --layer-selector \"{text}\": must be in the format '<media-type>:<operation>'"
        )
    if operation not in {ocirepository.EXTRACT, ocirepository.COPY}:
        raise errors.UsageError(
            f'invalid --layer-selector "{text}": operation must be "extract" or "copy"'
        )
    return {"mediaType": media_type, "operation": operation}


def _check_verification(values: Mapping[str, typing.Any]) -> None:
    if values["verify_provider"]:
        return
    for what, is_given in (
        ("a secret", values["verify_secret_ref"]),
        ("OIDC issuer/subject", values["verify_issuer"] or values["verify_subject"]),
    ):
        if is_given:
            raise errors.UsageError(
                f"a verification provider must be specified when {what} is specified"
            )
