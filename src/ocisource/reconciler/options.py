"""What flags say about every run, and the words and addresses that follow from them."""

import dataclasses

from ocisource import settings
from ocisource.oci.grammar import manifest
from ocisource.source import resolve


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """``advertised`` is the artifact server's address with scheme; ``retention_ttl`` in seconds."""

    platform: manifest.Platform
    advertised: str
    revision_format: str = settings.REVISION_HEX
    retention_ttl: float = 60.0
    retention_records: int = 2

    def url(self, path: str) -> str:
        """The address of a stored path."""
        return f"{self.advertised}/{path.removeprefix('/')}"

    def revision(self, resolved: resolve.Resolved) -> str:
        """How ``status.artifact.revision`` names what was resolved."""
        if self.revision_format == settings.REVISION_HEX:
            return resolved.digest.hex
        return resolved.tag_at_digest
