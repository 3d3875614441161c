"""The command `ocisource`: its table of commands, and how it ends.

Errors are one line on standard error that says what to do; exit code 1, or 2 for wrong usage.
"""

import sys
import typing
from collections.abc import Mapping, Sequence

import click

from ocisource import errors, version
from ocisource.cli import failures, grammar, shared, streams

Leaf, Branch = grammar.Leaf, grammar.Branch

# The modules are heavy, so this table alone is read for `--help` and for completion.
COMMANDS: Mapping[str, grammar.Leaf | grammar.Branch] = {
    "up": Leaf(
        "ocisource.cli.machines.up:up", "Run everything on this machine, no cluster needed."
    ),
    "apiserver": Leaf(
        "ocisource.cli.machines.apiserver:apiserver", "Run the embedded Kubernetes API alone."
    ),
    "controller": Leaf(
        "ocisource.cli.replicas.controller:controller", "Run the controller on a cluster."
    ),
    "install": Leaf("ocisource.cli.replicas.install:install", "Put the controller on a cluster."),
    "get": Branch(
        "Print the state of sources.",
        {
            "sources": Branch(
                "Print the state of sources.",
                {
                    "oci": Leaf(
                        "ocisource.cli.sources.get:oci", "Print the state of OCIRepositories."
                    ),
                    "all": Leaf(
                        "ocisource.cli.sources.get:everything", "Print the state of all sources."
                    ),
                },
                examples="ocisource get sources oci\nocisource get sources all -A",
            )
        },
        aliases={"source": "sources"},
        examples="ocisource get sources oci",
    ),
    "create": Branch(
        "Create or update sources and Secrets.",
        {
            "source": Branch(
                "Create or update a source.",
                {
                    "oci": Leaf(
                        "ocisource.cli.sources.createsource:oci",
                        "Create or update an OCIRepository.",
                    )
                },
                aliases={},
                examples="ocisource create source oci podinfo --url oci://ghcr.io/org/app --tag v1",
            ),
            "secret": Branch(
                "Create or update a Secret.",
                {
                    "oci": Leaf("ocisource.cli.createsecret:oci", "A login for a registry."),
                    "tls": Leaf("ocisource.cli.createsecret:tls", "A certificate pair or a CA."),
                    "proxy": Leaf("ocisource.cli.createsecret:proxy", "Address of a proxy."),
                },
                examples="ocisource create secret oci ghcr --url ghcr.io -u me -p secret",
            ),
        },
        examples="ocisource create source oci podinfo --url oci://ghcr.io/org/app --tag v1",
    ),
    "delete": Branch(
        "Delete sources, or the objects of manifests (-f).",
        {
            "source": Branch(
                "Delete a source.",
                {"oci": Leaf("ocisource.cli.sources.delete:oci", "Delete an OCIRepository.")},
                examples="ocisource delete source oci podinfo --silent",
            )
        },
        own="ocisource.cli.machines.manifests:delete",
    ),
    "export": Branch(
        "Print sources as YAML.",
        {
            "source": Branch(
                "Print sources as YAML.",
                {"oci": Leaf("ocisource.cli.sources.export:oci", "Print OCIRepositories as YAML.")},
                examples="ocisource export source oci --all > sources.yaml",
            )
        },
        examples="ocisource export source oci podinfo",
    ),
    "reconcile": Branch(
        "Ask for a reconciliation now, and wait for it.",
        {
            "source": Branch(
                "Reconcile a source now.",
                {
                    "oci": Leaf(
                        "ocisource.cli.sources.reconcile:oci", "Reconcile an OCIRepository now."
                    )
                },
                examples="ocisource reconcile source oci podinfo",
            )
        },
        examples="ocisource reconcile source oci podinfo",
    ),
    "suspend": Branch(
        "Suspend the reconciliation of sources.",
        {
            "source": Branch(
                "Suspend sources.",
                {
                    "oci": Leaf(
                        "ocisource.cli.sources.suspend:suspend_oci", "Suspend OCIRepositories."
                    )
                },
                examples="ocisource suspend source oci podinfo",
            )
        },
        examples="ocisource suspend source oci podinfo",
    ),
    "resume": Branch(
        "Resume the reconciliation of sources.",
        {
            "source": Branch(
                "Resume sources.",
                {
                    "oci": Leaf(
                        "ocisource.cli.sources.suspend:resume_oci", "Resume OCIRepositories."
                    )
                },
                examples="ocisource resume source oci podinfo",
            )
        },
        examples="ocisource resume source oci podinfo",
    ),
    "events": Leaf("ocisource.cli.reports.events:events", "Print events of sources."),
    "logs": Leaf("ocisource.cli.reports.logs:logs", "Print the controller's logs."),
    "trace": Leaf("ocisource.cli.reports.trace:trace", "Tell which source an object comes from."),
    "stats": Leaf("ocisource.cli.reports.stats:stats", "Count sources and what they store."),
    "check": Leaf("ocisource.cli.check:check", "Check the cluster and the installation."),
    "apply": Leaf("ocisource.cli.machines.manifests:apply", "Apply manifests, without kubectl."),
    "push": Branch(
        "Push to a registry.",
        {
            "artifact": Leaf(
                "ocisource.cli.artifacts.push:artifact", "Pack a folder or file and push it."
            )
        },
        examples="ocisource push artifact oci://ghcr.io/org/app:v1 -f . --source=. --revision=main",
    ),
    "pull": Branch(
        "Pull from a registry.",
        {
            "artifact": Leaf(
                "ocisource.cli.artifacts.pull:artifact", "Pull an artifact and unpack it."
            )
        },
        examples="ocisource pull artifact oci://ghcr.io/org/app:v1 -o ./app",
    ),
    "list": Branch(
        "List what a registry holds.",
        {
            "artifacts": Leaf(
                "ocisource.cli.artifacts.listing:artifacts", "List the tags of a repository."
            )
        },
        aliases={"artifact": "artifacts"},
        examples="ocisource list artifacts oci://ghcr.io/org/app",
    ),
    "tag": Branch(
        "Tag what a registry holds.",
        {
            "artifact": Leaf(
                "ocisource.cli.artifacts.tag:artifact", "Give an artifact further tags."
            )
        },
        examples="ocisource tag artifact oci://ghcr.io/org/app:v1 --tag latest",
    ),
    "diff": Branch(
        "Compare with a registry.",
        {
            "artifact": Leaf(
                "ocisource.cli.artifacts.diff:artifact", "Compare an artifact with a folder."
            )
        },
        examples="ocisource diff artifact oci://ghcr.io/org/app:v1 --path .",
    ),
    "build": Branch(
        "Build files for a registry.",
        {"artifact": Leaf("ocisource.cli.artifacts.build:artifact", "Pack a folder or file.")},
        examples="ocisource build artifact -p . -o app.tgz",
    ),
    "version": Leaf("ocisource.cli.version:version", "Print the version."),
    "completion": Leaf("ocisource.cli.completion:completion", "Print a shell's completion script."),
}
_INTERRUPTED = 130
_EPILOG = "\b\nTry it:\n  ocisource up --demo\n  ocisource get sources oci -A"

root = grammar.Group(
    "ocisource",
    Branch(
        "A source controller for OCI repositories: Flux's OCIRepository API, cluster or not.",
        COMMANDS,
    ),
    params=shared.early_options(),
    callback=shared.remember,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
root = click.version_option(version.VERSION, message="ocisource version %(version)s")(root)


def main() -> typing.NoReturn:
    """Entry point of the command."""
    streams.prepare()
    sys.exit(run(sys.argv[1:]))


def run(words: Sequence[str]) -> int:
    """Run a command line; the exit code."""
    try:
        return _run(words)
    except (click.ClickException, errors.OcisourceError) as error:
        return failures.told(error)
    except (click.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except (BrokenPipeError, SystemExit):
        # The reader of our output is gone, which click answers with an exit of its own: that is no
        # failure of ours.
        streams.drop(sys.stdout)
        return 0
    except OSError as error:
        streams.drop(sys.stdout)
        return failures.system(error)
    except Exception as error:
        if sys.flags.dev_mode:
            raise
        return failures.mistake(error)


def _run(words: Sequence[str]) -> int:
    try:
        code = root.main(list(words), prog_name="ocisource", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as asked:
        click.echo(asked.ctx.get_help())
        return 0
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    return code if isinstance(code, int) else 0
