"""Acceptance cases U: flags, environment, and combinations that refuse to start."""

import random
from typing import Any

import click
import pytest
from click import testing

from ocisource import errors, settings
from ocisource.cli import flags
from ocisource.controller import request as requests
from ocisource.reconciler import pacing


def _chosen(*arguments: str, **environ: str) -> settings.Settings:
    """The settings a command would run with; raises UsageError."""
    found: list[settings.Settings] = []

    @click.command()
    @flags.options()
    def command(**values: Any) -> None:
        found.append(flags.read(values))

    runner = testing.CliRunner()
    result = runner.invoke(command, arguments, env=environ, standalone_mode=False)
    if isinstance(result.exception, click.UsageError):
        raise errors.UsageError(result.exception.format_message())
    if result.exception is not None:
        raise result.exception
    return found[0]


def test_u1_defaults_are_those_of_the_reference() -> None:
    """Addresses, retention, retries, limits and election as documented."""
    chosen = _chosen()
    assert (chosen.metrics_addr, chosen.health_addr, chosen.events_addr) == (":8080", ":9440", "")
    assert (str(chosen.storage_path), chosen.storage_addr) == ("/data", ":9090")
    assert (chosen.artifact_retention_ttl, chosen.artifact_retention_records) == (60.0, 2)
    assert chosen.artifact_digest_algo == "sha256"
    assert chosen.watch_all_namespaces
    assert (chosen.min_retry_delay, chosen.max_retry_delay) == (0.75, 900.0)
    assert chosen.interval_jitter_percentage == 5
    assert (chosen.kube_api_qps, chosen.kube_api_burst) == (50, 300)
    assert not chosen.enable_leader_election
    assert chosen.leader_election_release_on_cancel
    assert chosen.leader_election_lease_duration == 35.0
    assert chosen.leader_election_renew_deadline == 30.0
    assert chosen.leader_election_retry_period == 5.0
    assert (chosen.log_encoding, chosen.log_level) == ("json", "info")
    assert (chosen.token_cache_max_size, chosen.token_cache_max_duration) == (100, 3600.0)


@pytest.mark.parametrize(
    ("arguments", "environ", "expected"),
    [
        ((), {"METRICS_ADDR": ":1"}, ":1"),
        (("--metrics-addr", ":2"), {"METRICS_ADDR": ":1"}, ":2"),
        ((), {"METRICS_ADDR": ""}, ":8080"),
        (("--metrics-addr=:3",), {}, ":3"),
    ],
    ids=["U2", "U2-flag", "U2-empty", "U2-equals"],
)
def test_u_flag_before_environment_before_default(
    arguments: tuple[str, ...], environ: dict[str, str], expected: str
) -> None:
    """An empty variable counts as unset."""
    assert _chosen(*arguments, **environ).metrics_addr == expected


@pytest.mark.parametrize(
    ("variable", "field"),
    [
        ("METRICS_ADDR", "metrics_addr"),
        ("EVENTS_ADDR", "events_addr"),
        ("STORAGE_PATH", "storage_path"),
        ("STORAGE_ADDRESS", "storage_addr"),
        ("STORAGE_ADV_ADDR", "storage_adv_addr"),
    ],
)
def test_every_variable_of_the_reference_is_read(variable: str, field: str) -> None:
    """And an empty one leaves the default."""
    text = "http://127.0.0.1:7" if field == "events_addr" else "127.0.0.1:7"
    assert str(getattr(_chosen(**{variable: text}), field)) == text
    assert getattr(_chosen(**{variable: ""}), field) == getattr(settings.Settings(), field)


def test_u3_jitter_may_be_off_but_never_whole() -> None:
    """100 refuses to start, 0 means the exact interval."""
    with pytest.raises(errors.UsageError, match="interval-jitter-percentage"):
        _chosen("--interval-jitter-percentage=100")
    assert _chosen("--interval-jitter-percentage=0").interval_jitter_percentage == 0
    request = requests.Request("default", "podinfo")
    exact = pacing.Pacing(jitter=0.0, rng=random.Random(1))
    assert exact.next_run(request, 60.0) == 60.0
    spread = pacing.Pacing(jitter=0.05, rng=random.Random(1))
    waits = [spread.next_run(request, 60.0) for _ in range(1000)]
    assert 57.0 <= min(waits) < 57.5
    assert 62.5 < max(waits) <= 63.0


def test_objects_found_at_start_come_back_spread_over_their_interval() -> None:
    """Once; after that their interval has the jitter alone."""
    pace = pacing.Pacing(jitter=0.0, rng=random.Random(1))
    found = [requests.Request("default", f"app-{number}") for number in range(1000)]
    for request in found:
        pace.found_at_start(request)
    first = [pace.next_run(request, 100.0) for request in found]
    assert 10.0 <= min(first) < 15.0
    assert 95.0 < max(first) <= 100.0
    assert {pace.next_run(request, 100.0) for request in found} == {100.0}


def test_u4_an_unknown_feature_gate_refuses_to_start() -> None:
    """The text names those there are."""
    with pytest.raises(errors.UsageError, match="unknown feature gate 'Nonsense'"):
        _chosen("--feature-gates=Nonsense=true")


def test_u5_a_default_service_account_needs_its_gate() -> None:
    """With the gate on it is taken."""
    with pytest.raises(errors.UsageError, match="ObjectLevelWorkloadIdentity=true"):
        _chosen("--default-service-account=puller")
    chosen = _chosen(
        "--default-service-account=puller", "--feature-gates=ObjectLevelWorkloadIdentity=true"
    )
    assert chosen.default_service_account == "puller"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--nonsense",), "nonsense"),
        (("--min-retry-delay=2m", "--max-retry-delay=1m"), "--min-retry-delay is longer"),
        (("--artifact-digest-algo=blake3",), "artifact-digest-algo"),
        (("--concurrent=0",), "concurrent"),
        (("--watch-label-selector=a in",), "--watch-label-selector: "),
        (("--events-addr=notification-controller",), "is not an http or https URL"),
        (("--events-addr=http://[",), "is not an http or https URL"),
        (("--events-addr=ftp://u:secret@host/",), r"--events-addr 'ftp://[^']*host/' is not an"),
        (("--health-addr=:8080",), "--metrics-addr :8080 and --health-addr :8080 are the same"),
        (
            ("--storage-addr=127.0.0.1:9440",),
            "--storage-addr 127.0.0.1:9440 and --health-addr :9440 are the same address",
        ),
    ],
)
def test_unknown_or_contradictory_flags_refuse_to_start(
    arguments: tuple[str, ...], text: str
) -> None:
    """With a line that names the flag and shows no password."""
    with pytest.raises(errors.UsageError, match=text) as caught:
        _chosen(*arguments)
    assert "secret" not in caught.value.text


@pytest.mark.parametrize(
    "arguments",
    [
        ("--metrics-addr=127.0.0.1:0", "--health-addr=127.0.0.1:0"),
        ("--metrics-addr=127.0.0.1:9", "--health-addr=127.0.0.2:9"),
        ("--events-addr=http://notification-controller.flux-system.svc.cluster.local./",),
    ],
)
def test_what_only_looks_contradictory_is_taken(arguments: tuple[str, ...]) -> None:
    """Free ports, hosts of their own, the receiver as Flux's deployment names it."""
    _chosen(*arguments)
