"""What the shared options of a command line say, as a value."""

import dataclasses
import pathlib

TIMEOUT = 300.0  # seconds
QPS, BURST = 50.0, 300


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What the shared options say; empty values say nothing.

    ``timeout`` in seconds covers the whole command; a watch or a follow is bounded only where
    ``is_timeout_given``.
    """

    kubeconfig: pathlib.Path | None = None
    context: str = ""
    namespace: str = ""
    timeout: float = TIMEOUT
    is_timeout_given: bool = False
    is_namespace_following: bool = False
    qps: float = QPS
    burst: int = BURST
    cluster: str = ""
    user: str = ""
    server: str = ""
    token: str = dataclasses.field(default="", repr=False)
    certificate_authority: str = ""
    client_certificate: str = ""
    client_key: str = ""
    tls_server_name: str = ""
    is_insecure: bool = False
    impersonated: str = ""
    impersonated_uid: str = ""
    impersonated_groups: tuple[str, ...] = ()
