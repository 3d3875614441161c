"""What the shared options of a command line say, as a value."""

import dataclasses
import pathlib

from ocisource import errors

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
    impersonated_extra: tuple[str, ...] = ()  # each KEY=VALUE

    def extra(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """What else is known of whom to act as, the values of each key; raises UsageError."""
        found: dict[str, list[str]] = {}
        for text in self.impersonated_extra:
            key, equals, value = text.partition("=")
            if not (key and equals):
                raise errors.UsageError(
                    f"--as-user-extra '{text}' is not KEY=VALUE: write for example scopes=view"
                )
            found.setdefault(key, []).append(value)
        return tuple((key, tuple(values)) for key, values in found.items())
