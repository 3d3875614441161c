"""A replica's readiness and Lease, and what `ocisource controller` refuses to start with."""

import dataclasses
import json
import pathlib
import sys
import typing

import click.testing
import pytest

from ocisource import errors, metrics, settings
from ocisource.cli.replicas import controller, replica
from ocisource.controller import lease
from ocisource.kube import config, logins
from tests.parts import commands


@dataclasses.dataclass
class Elector:
    """An elector that is in whatever role a test wants."""

    role: lease.Role
    holder: str = "pod-1_x"
    error: str = "no answer in time"


@dataclasses.dataclass
class Running:
    """A controller whose informer is as far as a test wants."""

    objects: typing.Any
    served: typing.Any


@dataclasses.dataclass
class Objects:
    """An informer."""

    has_synced: bool


@dataclasses.dataclass
class Served:
    """What went wrong with the last list."""

    complaint: str


def made(
    elector: Elector | None, *, has_synced: bool | None = None, complaint: str = ""
) -> replica.Replica:
    """A replica without a cluster; ``has_synced`` None means that no controller runs."""
    running = None if has_synced is None else Running(Objects(has_synced), Served(complaint))
    return replica.Replica(
        settings.Settings(),
        typing.cast("typing.Any", None),
        metrics.Metrics(),
        typing.cast("lease.Elector | None", elector),
        typing.cast("typing.Any", running),
    )


@pytest.mark.parametrize(
    ("role", "has_synced", "text"),
    [
        (lease.Role.STARTING, None, "starting: the lease has not been read yet"),
        (lease.Role.STANDBY, None, "standby: lease held by pod-1_x"),
        (lease.Role.FAILING, None, "failing: no answer in time"),
        (lease.Role.LEADER, None, "starting: the controller"),
        (lease.Role.LEADER, False, "starting: the first list of objects"),
        (lease.Role.LEADER, True, ""),
        (None, None, "starting: the controller"),
        (None, True, ""),
    ],
)
def test_readiness_tells_a_standby_from_a_failure(
    role: lease.Role | None, has_synced: bool | None, text: str
) -> None:
    """One short text each; none when the replica works."""
    elector = None if role is None else Elector(role)
    assert made(elector, has_synced=has_synced).waiting_for() == text


def test_a_list_that_is_refused_is_a_failure_and_no_slow_start() -> None:
    """Missing rights are found by who looks at /readyz; later failures do not end the service."""
    complaint = 'ocirepositories is forbidden: User "a" cannot list'
    refused = made(None, has_synced=False, complaint=complaint)
    assert refused.waiting_for() == f"failing: {complaint}"
    assert made(None, has_synced=True, complaint=complaint).waiting_for() == ""


def test_a_lease_held_by_nobody_is_said_so() -> None:
    """Between two leaders."""
    elector = Elector(lease.Role.STANDBY, holder="")
    assert made(elector).waiting_for() == "standby: lease held by nobody"


def test_the_lease_lies_where_the_pod_runs() -> None:
    """Else where the kubeconfig's context points; else there is none."""
    login = logins.MaterialLogin()
    cluster = config.ClusterConfig(server="https://h", login_source=login, namespace="context")
    assert replica.lease_namespace(cluster, {"RUNTIME_NAMESPACE": "pod"}) == "pod"
    assert replica.lease_namespace(cluster, {"RUNTIME_NAMESPACE": ""}) == "context"
    with pytest.raises(errors.UsageError, match="RUNTIME_NAMESPACE"):
        replica.lease_namespace(dataclasses.replace(cluster, namespace=""), {})


def test_flags_become_the_settings_of_the_lease() -> None:
    """Every one of them."""
    chosen = dataclasses.replace(
        settings.Settings(),
        leader_election_lease_duration=9.0,
        leader_election_renew_deadline=7.0,
        leader_election_retry_period=2.0,
        leader_election_release_on_cancel=False,
    )
    assert replica.lease_settings(chosen) == lease.LeaseSettings(
        duration=9.0, renew_deadline=7.0, retry_period=2.0, is_released=False
    )
    assert replica.lease_settings(settings.Settings()) == lease.DEFAULTS


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--watch-label-selector=a in"], "--watch-label-selector: "),
        (["--leader-election-renew-deadline=1h"], "--leader-election-lease-duration must be"),
        (["--kubeconfig=/nowhere"], 'kubeconfig "/nowhere": no such file'),
        (["--feature-gates=Nothing=true"], "unknown feature gate 'Nothing'"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_starts(
    words: list[str], text: str, tmp_path: pathlib.Path
) -> None:
    """One error that names the flag."""
    runner = click.testing.CliRunner()
    done = runner.invoke(controller.controller, [f"--storage-path={tmp_path}", *words])
    assert isinstance(done.exception, errors.UsageError)
    assert text in done.exception.text


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--storage-path=/nowhere"], "--storage-path /nowhere: no such folder"),
        (["--watch-all-namespaces=false"], "RUNTIME_NAMESPACE"),
        (["--platform=linux"], "platform 'linux' must be in format"),
    ],
)
def test_a_standby_too_refuses_what_could_never_lead(
    words: list[str], text: str, tmp_path: pathlib.Path
) -> None:
    """At the start and not at the takeover; the cluster is not even asked."""
    kubeconfig = tmp_path / "kubeconfig"
    cluster = {"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}
    context = {"name": "c", "context": {"cluster": "c", "user": ""}}
    kubeconfig.write_text(
        json.dumps({"clusters": [cluster], "contexts": [context], "current-context": "c"})
    )
    done = commands.run(
        [
            *(sys.executable, "-m", "ocisource", "controller", "--enable-leader-election"),
            *(f"--kubeconfig={kubeconfig}", f"--storage-path={tmp_path}", *words),
        ],
        environ=commands.clean_environ(tmp_path / "home"),
        is_checked=False,
    )
    assert done.code == 2
    assert text in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
