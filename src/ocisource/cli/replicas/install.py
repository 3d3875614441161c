"""`ocisource install`: print the manifests of an installation, or put them on a cluster."""

import os
import typing

import click

from ocisource import errors, settings, version
from ocisource.cli import choice, cluster, flags, output, shared

if typing.TYPE_CHECKING:
    from ocisource.cli.replicas import installer
    from ocisource.manifests import render

EMBEDDED = "+ocisource"  # how the embedded API's version ends
GENERATING = "✚"
FLUX_DEPLOYMENT = "source-controller"
_SWITCH: dict[str, typing.Any] = {
    "type": flags.Truth(),
    "is_flag": False,
    "flag_value": True,
    "show_default": True,
}


@shared.command()
@click.option("--export", "is_export", is_flag=True, help="Print the manifests and apply nothing.")
@click.option(
    "-v",
    "--version",
    default=f"v{version.VERSION}",
    show_default=True,
    help="Tag of the image.",
)
@click.option("--registry", default="", metavar="HOST/PATH", help="Where the image is pulled from.")
@click.option("--image", metavar="REF", help="The whole image, in place of registry and version.")
@click.option("--image-pull-secret", default="", metavar="NAME", help="Secret to pull it with.")
@click.option(
    "--watch-all-namespaces",
    default=True,
    help="Watch every namespace; otherwise only the installation's own.",
    **_SWITCH,
)
@click.option(
    "--watch-label-selector",
    default="",
    metavar="SELECTOR",
    help="Watch only objects with these labels (a shard).",
)
@click.option(
    "--revision-format",
    type=click.Choice((settings.REVISION_HEX, settings.REVISION_TAG_AT_DIGEST)),
    default=settings.REVISION_HEX,
    show_default=True,
    help="How revisions are written: bare hex, or Flux's tag@sha256:hex.",
)
@click.option(
    "--network-policy", default=True, help="Let only the namespace read artifacts.", **_SWITCH
)
@click.option(
    "--log-level",
    type=click.Choice(("trace", "debug", "info", "error")),
    default="info",
    show_default=True,
    help="Lines of this level and above are logged.",
)
@click.option("--events-addr", default="", metavar="URL", help="A notification-controller.")
@click.option(
    "--cluster-domain", default="cluster.local", show_default=True, help="The cluster's DNS domain."
)
@click.option(
    "--toleration-keys",
    multiple=True,
    metavar="KEY,...",
    help="Taints of nodes that do not keep the controller away. Repeatable.",
)
@click.option("--with-monitoring", is_flag=True, help="Add a PodMonitor and a Grafana dashboard.")
@click.option(
    "--with-workload-identity",
    is_flag=True,
    help="Let objects use the cloud identity of their ServiceAccount.",
)
@click.option(
    "--force",
    "is_forced",
    is_flag=True,
    help="Replace a CustomResourceDefinition that another tool manages.",
)
@shared.cluster_options
@click.pass_context
def install(
    ctx: click.Context,
    /,
    *,
    chosen: choice.Chosen,
    is_export: bool,
    is_forced: bool,
    **values: typing.Any,
) -> None:
    """Install the controller on a cluster, or upgrade it.

    \b
    Examples:
      ocisource install --registry ghcr.io/example
      ocisource install --export --namespace sources > install.yaml
      ocisource install --image registry.example.com/ocisource:v0.1.0 --with-monitoring
    """  # noqa: D301 - the backspace tells click to keep the lines
    # Imported here: they parse YAML, and `--help` need not wait for that.
    from ocisource.manifests import printing, render  # noqa: PLC0415

    options = _options(chosen, values)
    if not options.registry and options.image is None:
        output.say(
            output.WARNING,
            f"the image is {options.image_reference}, of no registry: nodes that do not hold it "
            "already cannot pull it; --registry or --image says where yours is",
        )
    if is_export:
        output.write(printing.to_yaml(render.render(options)))
        return
    click.echo(f"{GENERATING} generating manifests", err=True)
    documents = render.render(options)
    output.say(output.SUCCESS, "manifests build completed")

    async def work(connection: cluster.Connection) -> None:
        await _install(connection, documents, options, is_forced=is_forced)

    ctx.exit(cluster.run(chosen, work))


def _options(chosen: choice.Chosen, values: typing.Mapping[str, typing.Any]) -> "render.Options":
    from ocisource.manifests import render  # noqa: PLC0415

    keys = [key.strip() for text in values["toleration_keys"] for key in text.split(",")]
    return render.Options(
        # Not the context's: an installation has its own namespace.
        namespace=chosen.namespace
        or os.environ.get("FLUX_SYSTEM_NAMESPACE", "")
        or render.NAMESPACE,
        version=values["version"],
        registry=values["registry"],
        image=values["image"],
        image_pull_secret=values["image_pull_secret"],
        is_watching_all_namespaces=values["watch_all_namespaces"],
        watch_label_selector=values["watch_label_selector"],
        revision_format=values["revision_format"],
        has_network_policy=values["network_policy"],
        has_monitoring=values["with_monitoring"],
        has_workload_identity=values["with_workload_identity"],
        log_level=values["log_level"],
        cluster_domain=values["cluster_domain"],
        events_addr=values["events_addr"],
        toleration_keys=tuple(filter(None, keys)),
    )


async def _install(
    connection: cluster.Connection,
    documents: "render.Documents",
    options: "render.Options",
    *,
    is_forced: bool,
) -> None:
    from ocisource.cli.replicas import installer  # noqa: PLC0415
    from ocisource.manifests import render  # noqa: PLC0415

    def show(applied: "installer.Applied") -> None:
        output.write(f"{applied}\n")
        if applied.action == "skipped":
            output.say(
                output.WARNING, f"{applied.subject} is another tool's; --force would replace it"
            )

    served = str((await connection.api.document("/version")).get("gitVersion", ""))
    if served.endswith(EMBEDDED):
        raise errors.UsageError(
            "this API is the one that `ocisource up` runs, and it runs no Pods: its controller is "
            "at work already; name a cluster with --kubeconfig or --context"
        )
    output.say(output.ACTION, f"installing components in {options.namespace} namespace")
    work = installer.Installer(api=connection.api, show=show, is_definition_replaced=is_forced)
    await work.apply(documents)
    await work.remove(render.left_over(options))
    (deployment,) = (each for each in documents if each["kind"] == "Deployment")
    await _warn_of_flux(work, deployment)
    output.say(output.WAITING, "verifying installation")
    await work.wait_ready(deployment, tell=lambda text: output.say(output.WARNING, text))
    output.say(output.SUCCESS, f"{deployment['metadata']['name']}: deployment ready")
    output.say(output.SUCCESS, "install finished")


async def _warn_of_flux(work: "installer.Installer", deployment: dict[str, typing.Any]) -> None:
    """Say so when Flux's own controller is there: the two have one Lease, so one of them waits."""
    metadata = deployment["metadata"] | {"name": FLUX_DEPLOYMENT}
    found = await work.find(deployment | {"metadata": metadata})
    if found is not None and found["spec"].get("replicas", 1):
        output.say(
            output.WARNING,
            f"Flux's {FLUX_DEPLOYMENT} runs in {metadata['namespace']}: whoever holds the Lease "
            f"works, the other waits; scale {FLUX_DEPLOYMENT} to 0 to move over",
        )
