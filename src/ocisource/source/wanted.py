"""What a source asks for, in the words of the OCI wing."""

import dataclasses

from ocisource.oci.grammar import manifest, reference

DEFAULT_TAG = "latest"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A repository, which of its versions, and what to make of it.

    Of ``digest``, ``semver`` and ``tag`` the first that is not empty decides; with none it is the
    tag ``latest``. ``semver_filter`` narrows the tags that ``semver`` chooses from.
    ``media_type`` empty means the first layer. ``is_copied`` keeps the layer as it is; otherwise
    it is unpacked, filtered with ``ignore`` (None means unset) and packed again.
    """

    repository: reference.Repository
    platform: manifest.Platform
    digest: str = ""
    semver: str = ""
    semver_filter: str = ""
    tag: str = ""
    media_type: str = ""
    is_copied: bool = False
    ignore: str | None = None

    def __str__(self) -> str:
        """Repository and version, as an error names them."""
        if self.digest:
            return f"{self.repository}@{self.digest}"
        if self.semver:
            return f"{self.repository} (semver '{self.semver}')"
        return f"{self.repository}:{self.tag or DEFAULT_TAG}"
