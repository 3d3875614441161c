"""Flags of the long-running commands, made from the settings' one definition."""

import itertools
import pathlib
import re
import typing
import urllib.parse
from collections.abc import Callable, Collection, Mapping

import click

from ocisource import errors, settings
from ocisource.net import redact
from ocisource.wire import durations, selectors

F = typing.TypeVar("F", bound=Callable[..., typing.Any])

_SIZE = re.compile(r"([0-9]+)(Ki|Mi|Gi|Ti)?")
_SIZE_UNITS = {None: 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}
_GATES = ("ObjectLevelWorkloadIdentity",)
_EVERY = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - compared, not bound: every interface
_TRUE, _FALSE = ("true", "1", "yes"), ("false", "0", "no")


class Duration(click.ParamType[float]):
    """A Go duration; a float of seconds as a value."""

    name = "duration"

    def __init__(self, *, minimum: float | None = None) -> None:
        self._minimum = minimum

    def convert(
        self, value: typing.Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Seconds of the text."""
        if isinstance(value, int | float):
            return float(value)
        try:
            seconds = durations.parse(value)
        except errors.InvalidInputError:
            self.fail(
                f"'{value}' is not a duration: write for example 30s, 5m or 1h30m", param, ctx
            )
        if self._minimum is not None and seconds < self._minimum:
            least = durations.format_seconds(self._minimum)
            self.fail(f"'{value}' is too short: write {least} or more", param, ctx)
        return seconds


class Size(click.ParamType[int]):
    """Bytes, with an optional suffix Ki, Mi, Gi or Ti."""

    name = "size"

    def convert(
        self, value: typing.Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Bytes of the text."""
        if isinstance(value, int):
            return value
        match = _SIZE.fullmatch(value)
        if match is None or int(match[1]) == 0:
            self.fail(f"'{value}' is not a size: write for example 500Mi or 4Gi", param, ctx)
        return int(match[1]) * _SIZE_UNITS[match[2]]


class Address(click.ParamType[str]):
    """``HOST:PORT``, where HOST may be empty (every interface) and port 0 picks a free one."""

    name = "host:port"

    def convert(
        self, value: typing.Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """The text, checked."""
        try:
            split_address(value)
        except errors.UsageError as error:
            self.fail(str(error), param, ctx)
        return str(value)


class Truth(click.ParamType[bool]):
    """A boolean that Flux's flags write as ``--flag``, ``--flag=true`` or ``--flag=false``."""

    name = "true|false"

    def convert(
        self, value: typing.Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> bool:
        """The truth of the text."""
        if isinstance(value, bool):
            return value
        if str(value).lower() in _TRUE:
            return True
        if str(value).lower() in _FALSE:
            return False
        return self.fail(f"'{value}' is neither true nor false", param, ctx)


def split_address(text: str) -> tuple[str, int]:
    """Host ("" for every interface) and port of ``HOST:PORT``; raises UsageError."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not port.isdecimal() or int(port) > 65535:  # noqa: PLR2004 - the last port
        raise errors.UsageError(f"'{text}' is not HOST:PORT: write for example 127.0.0.1:8080")
    return host, int(port)


def _type(flag: settings.Flag) -> click.ParamType[typing.Any]:
    match flag.kind:
        case settings.Kind.INT:
            return click.IntRange(
                min=None if flag.minimum is None else int(flag.minimum),
                max=None if flag.maximum is None else int(flag.maximum),
            )
        case settings.Kind.SIZE:
            return Size()
        case settings.Kind.BOOL:
            return Truth()
        case settings.Kind.DURATION:
            return Duration(minimum=flag.minimum)
        case settings.Kind.ADDRESS:
            return Address()
        case settings.Kind.PATH:
            return click.Path(path_type=pathlib.Path)
        case settings.Kind.CHOICE:
            return click.Choice(flag.choices)
        case settings.Kind.TEXT | settings.Kind.GATES:
            return click.STRING


def shown_default(flag: settings.Flag, value: typing.Any) -> str:
    """A default as a user would write it."""
    if flag.kind is settings.Kind.DURATION:
        return durations.format_seconds(value)
    if flag.kind is settings.Kind.BOOL:
        return str(value).lower()
    if flag.kind is settings.Kind.SIZE:
        for unit, size in reversed(_SIZE_UNITS.items()):
            if value % size == 0:
                return f"{value // size}{unit or ''}"
    return str(value)


def options(
    *, without: Collection[str] = (), defaults: Mapping[str, typing.Any] | None = None
) -> Callable[[F], F]:
    """Decorate a command with all settings but those named; ``defaults`` replace some."""
    replaced = defaults or {}

    def decorate(command: F) -> F:
        for field, flag, default in reversed(settings.flags()):
            if field in without:
                continue
            default = replaced.get(field, default)  # noqa: PLW2901
            bare: dict[str, typing.Any] = {}
            if flag.kind is settings.Kind.BOOL:
                bare = {"is_flag": False, "flag_value": True}
            command = click.option(
                f"--{flag.name}",
                field,
                type=_type(flag),
                default=default,
                envvar=flag.env,
                help=flag.help + ".",
                show_default=shown_default(flag, default) or False,
                show_envvar=flag.env is not None,
                # A bare --flag means true, as Go's flags have it.
                **bare,
            )(command)
        return command

    return decorate


def read(values: Mapping[str, typing.Any]) -> settings.Settings:
    """The settings among a command's values; raises UsageError where they contradict."""
    names = {name for name, _, _ in settings.flags()}
    chosen = settings.Settings(**{k: v for k, v in values.items() if k in names})
    gates = read_gates(chosen.feature_gates)
    if chosen.default_service_account and not gates["ObjectLevelWorkloadIdentity"]:
        raise errors.UsageError(
            "--default-service-account needs --feature-gates=ObjectLevelWorkloadIdentity=true"
        )
    if chosen.min_retry_delay > chosen.max_retry_delay:
        raise errors.UsageError("--min-retry-delay is longer than --max-retry-delay")
    lease = (
        chosen.leader_election_lease_duration,
        chosen.leader_election_renew_deadline,
        chosen.leader_election_retry_period,
    )
    if not lease[0] > lease[1] > lease[2]:
        raise errors.UsageError(
            "--leader-election-lease-duration must be longer than --leader-election-renew-deadline"
            ", and that longer than --leader-election-retry-period"
        )
    _check_selector(chosen.watch_label_selector)
    _check_events_address(chosen.events_addr)
    _check_listeners(chosen)
    return chosen


def _check_selector(text: str) -> None:
    try:
        selectors.LabelSelector.parse(text)
    except errors.InvalidInputError as error:
        raise errors.UsageError(f"--watch-label-selector: {error.text}") from error


def _check_events_address(text: str) -> None:
    if not text:
        return
    try:
        parts = urllib.parse.urlsplit(text)
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        is_usable = False
    if not is_usable:
        raise errors.UsageError(
            f"--events-addr '{redact.url(text)}' is not an http or https URL: write for example "
            "http://notification-controller.flux-system.svc.cluster.local./"
        )


def _check_listeners(chosen: settings.Settings) -> None:
    """Two listeners on one address: a standby would learn of it only when it comes to lead."""
    listeners = [
        (f"--{flag.name}", getattr(chosen, field))
        for field, flag, _ in settings.flags()
        if flag.kind is settings.Kind.ADDRESS
    ]
    for (one, first), (other, second) in itertools.combinations(listeners, 2):
        (host, port), (other_host, other_port) = split_address(first), split_address(second)
        is_shared = host == other_host or not _EVERY.isdisjoint({host, other_host})
        if port and port == other_port and is_shared:
            raise errors.UsageError(
                f"{one} {first} and {other} {second} are the same address: choose another port "
                "for one of them"
            )


def read_gates(text: str) -> dict[str, bool]:
    """Feature gates as ``Name=true,Other=false``; raises UsageError for an unknown one."""
    gates = dict.fromkeys(_GATES, False)
    for item in filter(None, text.split(",")):
        name, _, value = item.partition("=")
        if name not in gates:
            raise errors.UsageError(
                f"unknown feature gate '{name}' in --feature-gates: there is {', '.join(_GATES)}"
            )
        if value not in {"true", "false"}:
            raise errors.UsageError(f"feature gate '{item}': write {name}=true or {name}=false")
        gates[name] = value == "true"
    return gates
