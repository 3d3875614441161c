"""``status.artifact``: the packed file that is served."""

import msgspec


class Artifact(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, gc=False
):
    """Where the file is, what it was made of and what it must hash to.

    ``path`` is relative to the storage root, ``checksum`` the bare sha256 hex of the file,
    ``digest`` the same as ``sha256:hex``, ``size`` its bytes, ``last_update_time`` RFC 3339 text,
    ``metadata`` a copy of the manifest's annotations.
    """

    path: str = ""
    url: str = ""
    revision: str = ""
    checksum: str = ""
    digest: str = ""
    last_update_time: str = ""
    size: int | None = None
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
