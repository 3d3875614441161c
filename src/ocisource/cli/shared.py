"""Options that many commands share: which cluster, which namespace, how long.

They may stand before the command (``ocisource -n apps get sources oci``) or after it; what stands
after it wins.
"""

import dataclasses
import functools
import pathlib
import typing
from collections.abc import Callable, Sequence

import click

from ocisource.cli import choice, completing, flags, grammar

_OUTPUTS = ("json", "yaml")

F = typing.TypeVar("F", bound=Callable[..., typing.Any])


def _option(*names: str, **more: typing.Any) -> Callable[[], click.Option]:
    def make() -> click.Option:
        return click.Option(names, **more)

    return make


_TIMEOUT = _option(
    "--timeout",
    "timeout",
    type=flags.Duration(minimum=0.001),
    default=choice.TIMEOUT,
    help="How long the whole command may take.  [default: 5m0s]",
)
_CLUSTER = (
    _option(
        "-n",
        "--namespace",
        "namespace",
        default="",
        metavar="NAME",
        help="Namespace of the objects.  [default: flux-system; default with `ocisource up`]",
    ),
    _option(
        "--kubeconfig",
        "kubeconfig",
        type=click.Path(path_type=pathlib.Path),
        metavar="FILE",
        help="Kubeconfig file.  [default: KUBECONFIG, ~/.kube/config, a running `ocisource up`]",
    ),
    _option(
        "--context",
        "context",
        default="",
        metavar="NAME",
        shell_complete=completing.contexts,
        help="Context of the kubeconfig.",
    ),
    _TIMEOUT,
)


def _rare(name: str, field: str, help_: str, **more: typing.Any) -> Callable[[], click.Option]:
    return _option(name, field, **({"default": ""} | more), help=help_)


_RARE = (
    _rare("--cluster", "cluster", "Cluster of the kubeconfig."),
    _rare("--user", "user", "User of the kubeconfig."),
    _rare("--server", "server", "Address of the API server."),
    _rare("--token", "token", "Bearer token for the API server."),
    _rare("--as", "impersonated", "User to act as."),
    _rare("--as-uid", "impersonated_uid", "UID to act as."),
    _rare(
        "--as-group",
        "impersonated_groups",
        "Group to act as; repeatable.",
        multiple=True,
        default=(),
    ),
    _rare(
        "--as-user-extra",
        "impersonated_extra",
        "What else is known of the user to act as; repeatable.",
        metavar="KEY=VALUE",
        multiple=True,
        default=(),
    ),
    _rare("--certificate-authority", "certificate_authority", "CA file for the API server."),
    _rare("--client-certificate", "client_certificate", "Client certificate file."),
    _rare("--client-key", "client_key", "Key file of the client certificate."),
    _rare("--tls-server-name", "tls_server_name", "Name that the server's certificate must have."),
    _rare(
        "--insecure-skip-tls-verify",
        "is_insecure",
        "Take any certificate of the API server.",
        is_flag=True,
        default=False,
    ),
    _rare(
        "--ns-follows-kube-context",
        "is_namespace_following",
        "Use the context's namespace when -n is not given.",
        is_flag=True,
        default=False,
    ),
    _rare("--kube-api-qps", "qps", "Requests per second at most.", type=float, default=choice.QPS),
    _rare("--kube-api-burst", "burst", "Requests at once at most.", type=int, default=choice.BURST),
)
# Taken so that scripts written for flux go on working; they have nothing to do here.
_IGNORED = (
    _rare("--verbose", "_verbose", "Without effect.", is_flag=True, default=False),
    _rare("--cache-dir", "_cache", "Without effect: nothing is cached."),
    _rare("--disable-compression", "_compression", "Without effect.", is_flag=True, default=False),
)
_FIELDS = frozenset(field.name for field in dataclasses.fields(choice.Chosen))


def early_options() -> list[click.Parameter]:
    """The shared options, to stand before the command."""
    return [make() for make in (*_CLUSTER, *_RARE, *(_hidden(each) for each in _IGNORED))]


def remember(**values: typing.Any) -> None:
    """Keep what stood before the command."""
    ctx = click.get_current_context()
    ctx.meta[grammar.EARLY] = {name: values[name] for name in values if _is_given(ctx, name)}


def cluster_options(function: F) -> F:
    """Give a command the options that say which cluster; it is called with ``chosen``."""
    return _with_options(function, (*_CLUSTER, *(_hidden(each) for each in (*_RARE, *_IGNORED))))


def timeout_option(function: F) -> F:
    """Give a command ``--timeout`` alone; it is called with ``chosen``."""
    return _with_options(function, (_TIMEOUT, _hidden(_IGNORED[0])))


def output_option(function: F) -> F:
    """Give a command ``-o json|yaml``; it is called with ``output``, empty for a table."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(_OUTPUTS),
        default=None,
        help="Print data instead of text.",
    )(function)


def command(**more: typing.Any) -> Callable[[Callable[..., typing.Any]], grammar.Command]:
    """A command whose switches also take ``=true`` and ``=false``."""
    return click.command(cls=grammar.Command, **more)


def _with_options(function: F, makers: Sequence[Callable[[], click.Option]]) -> F:
    @functools.wraps(function)
    def called(*args: typing.Any, **values: typing.Any) -> typing.Any:
        ctx = click.get_current_context()
        early = ctx.meta.get(grammar.EARLY, {})
        names = [str(make().name) for make in makers]
        chosen = {name: values.pop(name) for name in names}
        given = {name for name in names if _is_given(ctx, name)}
        chosen |= {name: early[name] for name in names if name in early and name not in given}
        is_timeout_given = "timeout" in given or "timeout" in early
        fields = {name: value for name, value in chosen.items() if name in _FIELDS}
        return function(
            *args, chosen=choice.Chosen(**fields, is_timeout_given=is_timeout_given), **values
        )

    # click reads the options a decorator stacks up from this attribute, last one first.
    options = [*getattr(function, "__click_params__", []), *(make() for make in reversed(makers))]
    called.__click_params__ = options  # type: ignore[attr-defined]
    return typing.cast("F", called)


def _hidden(make: Callable[[], click.Option]) -> Callable[[], click.Option]:
    def made() -> click.Option:
        option = make()
        option.hidden = True
        return option

    return made


def _is_given(ctx: click.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source not in {None, click.core.ParameterSource.DEFAULT}
