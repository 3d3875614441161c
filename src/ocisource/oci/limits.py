"""Every bound and pause of the registry client, in one visible literal.

Durations are seconds, sizes bytes. The registries and proxies out there are not ours: whatever is
read from them is bounded here.
"""

import dataclasses

from ocisource import version
from ocisource.net import backoff

KIBIBYTE = 1 << 10
MEBIBYTE = 1 << 20

USER_AGENT = f"ocisource/{version.VERSION}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    """How the registry client behaves; the defaults suit public registries."""

    connect_timeout: float = 30.0
    """For the name, and again for connection and TLS handshake; Go's default dial timeout."""

    read_timeout: float = 60.0
    """Without a single byte. A slow drip passes: the deadline of the whole fetch ends that."""

    keepalive: float = 90.0
    """How long an idle connection is kept; Go's default."""

    connections: int = 64
    """Connections of one pool; more callers wait for a free one."""

    idle_pool: float = 900.0
    """A pool, its tokens and its memory of the scheme are dropped when unused for so long."""

    head_start: float = 0.3
    """How long HTTPS is tried alone where plain HTTP is allowed too (behaviour.md, 3.1)."""

    retries: backoff.Backoff = dataclasses.field(default_factory=backoff.Backoff)
    """3 tries, pauses of 1 s and 3 s, ±10 %, on broken connections and temporary statuses."""

    short_wait: float = 2.0
    """A wait the registry asks for is slept through up to here; above, the caller is sent away."""

    longest_hold: float = backoff.RETRY_AFTER_CAP
    """A registry cannot hold us back longer than this."""

    redirects: int = 5
    """Hops of one request."""

    manifest_size: int = 4 * MEBIBYTE
    """What registries accept at most, and so the largest manifest there can be."""

    token_size: int = 64 * KIBIBYTE
    """Body of a token service's answer."""

    error_size: int = 64 * KIBIBYTE
    """How much of an error's body is read; 256 characters of it are shown."""

    page_tags: int = 1000
    """`n` of a tag list; ECR refuses more."""

    page_size: int = 32 * MEBIBYTE
    """Body of one page of tags; some registries send all their tags in one."""

    pages: int = 1000
    """Pages of one tag list."""

    tags_size: int = 64 * MEBIBYTE
    """All tags of one repository together."""

    tags_lifetime: float = 5.0
    """How long a tag list is used again for the same credential."""

    heads_lifetime: float = 600.0
    """How long a repository whose HEAD said nothing is asked with GET alone."""

    blob_urls: int = 8
    """Of a descriptor's `urls`, how many are tried: a manifest has room for thousands."""

    resumes: int = 16
    """How often one blob is taken up again with `Range`."""

    upload_chunk: int = 8 * MEBIBYTE
    """Bytes per PATCH of a chunked upload."""

    token_lifetime: float = 60.0
    """Of a token whose answer does not say it (token spec)."""

    token_margin: float = 30.0
    """A token is renewed so long before it expires, or a tenth of its life, whichever is less."""


DEFAULT = RegistrySettings()
