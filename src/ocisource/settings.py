"""Every flag of the long-running commands, each defined once: name, environment, default, meaning.

The command line builds its options from these fields, the documentation its table, and the
composition root reads their values. Precedence: flag, then environment (an empty variable counts
as unset), then default.
"""

import dataclasses
import enum
import pathlib
import typing

_METADATA_KEY = "setting"

MEBIBYTE = 1 << 20
GIBIBYTE = 1 << 30


class Kind(enum.Enum):
    """How a flag's text is read."""

    TEXT = "string"
    INT = "int"
    SIZE = "size"  # bytes, with an optional suffix Ki, Mi, Gi
    BOOL = "bool"
    DURATION = "duration"  # Go syntax; float seconds as a value
    ADDRESS = "host:port"
    PATH = "path"
    CHOICE = "choice"
    GATES = "Name=true,..."


@dataclasses.dataclass(frozen=True, slots=True)
class Flag:
    """One flag: its name without dashes, environment variable, kind, meaning."""

    name: str
    kind: Kind
    help: str
    env: str | None = None
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None


def _flag(
    default: typing.Any,
    name: str,
    kind: Kind,
    help_: str,
    env: str | None = None,
    choices: tuple[str, ...] = (),
    *,
    minimum: float | None = None,
    maximum: float | None = None,
) -> typing.Any:
    flag = Flag(name, kind, help_, env, choices, minimum, maximum)
    return dataclasses.field(default=default, metadata={_METADATA_KEY: flag})


OBJECT_LEVEL_WORKLOAD_IDENTITY = "ObjectLevelWorkloadIdentity"
REVISION_HEX = "hex"
REVISION_TAG_AT_DIGEST = "tag@digest"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The values of all flags that `controller` and `up` share; durations in seconds."""

    storage_path: pathlib.Path = _flag(
        pathlib.Path("/data"),
        "storage-path",
        Kind.PATH,
        "folder in which artifacts are stored",
        "STORAGE_PATH",
    )
    storage_addr: str = _flag(
        ":9090",
        "storage-addr",
        Kind.ADDRESS,
        "address the artifact server listens on",
        "STORAGE_ADDRESS",
    )
    storage_adv_addr: str = _flag(
        "",
        "storage-adv-addr",
        Kind.TEXT,
        "address by which others reach the artifact server; written into status",
        "STORAGE_ADV_ADDR",
    )
    metrics_addr: str = _flag(
        ":8080", "metrics-addr", Kind.ADDRESS, "address that /metrics is served on", "METRICS_ADDR"
    )
    health_addr: str = _flag(
        ":9440", "health-addr", Kind.ADDRESS, "address that /healthz and /readyz are served on"
    )
    events_addr: str = _flag(
        "",
        "events-addr",
        Kind.TEXT,
        "URL of a notification-controller that events are forwarded to",
        "EVENTS_ADDR",
    )
    concurrent: int = _flag(
        32, "concurrent", Kind.INT, "objects reconciled at the same time", minimum=1, maximum=1024
    )
    interval_jitter_percentage: int = _flag(
        5,
        "interval-jitter-percentage",
        Kind.INT,
        "how far an interval may vary, in percent of it; 0 turns it off",
        minimum=0,
        maximum=99,
    )
    min_retry_delay: float = _flag(
        0.75,
        "min-retry-delay",
        Kind.DURATION,
        "wait after a first failure; doubled at each further one",
        minimum=0.001,
    )
    max_retry_delay: float = _flag(
        900.0, "max-retry-delay", Kind.DURATION, "longest wait after a failure", minimum=0.001
    )
    artifact_retention_ttl: float = _flag(
        60.0,
        "artifact-retention-ttl",
        Kind.DURATION,
        "how long a superseded artifact is kept at least, unless there are too many",
        minimum=0,
    )
    artifact_retention_records: int = _flag(
        2,
        "artifact-retention-records",
        Kind.INT,
        "how many artifacts of an object are kept, the current one included",
        minimum=1,
    )
    artifact_digest_algo: str = _flag(
        "sha256",
        "artifact-digest-algo",
        Kind.CHOICE,
        "algorithm of artifact digests",
        choices=("sha256",),
    )
    revision_format: str = _flag(
        REVISION_HEX,
        "revision-format",
        Kind.CHOICE,
        "how status.artifact.revision is written: bare hex, or Flux's tag@sha256:hex",
        choices=(REVISION_HEX, REVISION_TAG_AT_DIGEST),
    )
    platform: str = _flag(
        "linux/amd64", "platform", Kind.TEXT, "platform taken from a multi-platform index"
    )
    watch_all_namespaces: bool = _flag(
        True,
        "watch-all-namespaces",
        Kind.BOOL,
        "watch every namespace; otherwise only the one in RUNTIME_NAMESPACE",
    )
    watch_label_selector: str = _flag(
        "", "watch-label-selector", Kind.TEXT, "watch only objects with these labels (a shard)"
    )
    watch_secrets: bool = _flag(
        True,
        "watch-secrets",
        Kind.BOOL,
        "watch the metadata of Secrets and ServiceAccounts, so that a rotated credential is used "
        "at once; without it no list and watch rights on them are needed",
    )
    default_service_account: str = _flag(
        "",
        "default-service-account",
        Kind.TEXT,
        "ServiceAccount whose workload identity is used when an object names none",
    )
    feature_gates: str = _flag(
        "", "feature-gates", Kind.GATES, "features to turn on or off: ObjectLevelWorkloadIdentity"
    )
    token_cache_max_size: int = _flag(
        100, "token-cache-max-size", Kind.INT, "cloud tokens kept at most; 0 keeps none", minimum=0
    )
    token_cache_max_duration: float = _flag(
        3600.0,
        "token-cache-max-duration",
        Kind.DURATION,
        "how long a cloud token is used at most",
        minimum=0,
    )
    max_unpacked_size: int = _flag(
        4 * GIBIBYTE, "max-unpacked-size", Kind.SIZE, "bytes a layer may unpack to", minimum=1
    )
    max_entries: int = _flag(
        1_000_000, "max-entries", Kind.INT, "entries a layer may hold", minimum=1
    )
    max_ratio: int = _flag(
        250, "max-ratio", Kind.INT, "how many times larger a layer may unpack to", minimum=1
    )
    max_name_length: int = _flag(
        4096, "max-name-length", Kind.INT, "bytes of an entry's name", minimum=1
    )
    kube_api_qps: int = _flag(
        50,
        "kube-api-qps",
        Kind.INT,
        "requests a second to the Kubernetes API on average",
        minimum=1,
    )
    kube_api_burst: int = _flag(
        300, "kube-api-burst", Kind.INT, "requests to the Kubernetes API at once", minimum=1
    )
    enable_leader_election: bool = _flag(
        False,
        "enable-leader-election",
        Kind.BOOL,
        "let only one of several replicas work, by a Lease",
    )
    leader_election_release_on_cancel: bool = _flag(
        True,
        "leader-election-release-on-cancel",
        Kind.BOOL,
        "give the Lease up on a stop, so that the next leader need not wait for its end",
    )
    leader_election_lease_duration: float = _flag(
        35.0,
        "leader-election-lease-duration",
        Kind.DURATION,
        "how long a standby waits for a silent leader",
        minimum=1,
    )
    leader_election_renew_deadline: float = _flag(
        30.0,
        "leader-election-renew-deadline",
        Kind.DURATION,
        "how long a leader tries to renew before it steps down",
        minimum=0.5,
    )
    leader_election_retry_period: float = _flag(
        5.0,
        "leader-election-retry-period",
        Kind.DURATION,
        "wait between two tries at the Lease",
        minimum=0.1,
    )
    metrics_per_object: bool = _flag(
        False,
        "metrics-per-object",
        Kind.BOOL,
        "label durations with name and namespace (a series for each object)",
    )
    log_level: str = _flag(
        "info",
        "log-level",
        Kind.CHOICE,
        "lines of this level and above are logged",
        choices=("trace", "debug", "info", "error"),
    )
    log_encoding: str = _flag(
        "json",
        "log-encoding",
        Kind.CHOICE,
        "json lines, or readable ones",
        choices=("json", "console"),
    )

    def has_gate(self, name: str) -> bool:
        """Whether a feature gate is turned on; the last word about it counts."""
        said = dict(item.split("=", 1) for item in self.feature_gates.split(",") if "=" in item)
        return said.get(name) == "true"


def flags() -> tuple[tuple[str, Flag, typing.Any], ...]:
    """Field name, flag and default of every setting, in the order of the documentation."""
    return tuple(
        (field.name, field.metadata[_METADATA_KEY], field.default)
        for field in dataclasses.fields(Settings)
    )
