"""What a shell completes beside commands and options: names of sources, contexts, namespaces.

Completion never fails: where the cluster cannot be asked there is nothing to complete.
"""

import contextlib
import pathlib
import typing

import click

from ocisource import errors

_SECONDS = 2.0  # a person is waiting between two keys


def sources(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of the namespace's OCIRepositories."""
    del param
    # Imported here: every command names these functions, only completion calls them.
    from ocisource.cli import choice, cluster, light  # noqa: PLC0415
    from ocisource.cli.sources import rows  # noqa: PLC0415

    found: typing.Sequence[typing.Any] = ()
    with contextlib.suppress(errors.OcisourceError):
        chosen = choice.Chosen(
            kubeconfig=_path(ctx),
            context=str(_given(ctx, "context") or ""),
            namespace=str(_given(ctx, "namespace") or ""),
            timeout=_SECONDS,
        )
        found = light.sources(cluster.locate(chosen), chosen, rows.Query()) or ()
    names = sorted(obj.metadata.name for obj in found)
    return [name for name in names if name.startswith(incomplete)]


def contexts(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Contexts of the kubeconfig."""
    del param
    from ocisource.kube import config  # noqa: PLC0415

    with contextlib.suppress(errors.OcisourceError):
        return [name for name in config.contexts(_path(ctx)) if name.startswith(incomplete)]
    return []


def _path(ctx: click.Context) -> pathlib.Path | None:
    found = _given(ctx, "kubeconfig")
    return None if found is None else pathlib.Path(str(found))


def _given(ctx: click.Context, name: str) -> object:
    """An option of the command, or of the words before it."""
    context: click.Context | None = ctx
    while context is not None:
        if context.params.get(name):
            found: object = context.params[name]
            return found
        context = context.parent
    return None
