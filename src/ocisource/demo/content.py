"""What the demo registry holds, in memory and bounded: blobs, manifests, tags. Rules, no I/O.

Rules, in order (distribution-spec 1.1):

1. A name and a tag follow the spec's grammars (``<name>``, ``<reference>`` as a tag).
2. Bytes are kept under their own sha256; what was announced under another digest is refused.
3. A manifest is kept only when everything it refers to is there already.
4. All bytes together stay below a bound; what would exceed it is refused, nothing is dropped.
"""

import dataclasses
import re
from collections.abc import Iterator

from ocisource import digest as digests
from ocisource import errors
from ocisource.oci.grammar import manifest as manifests

TOTAL_BYTES_MAX = 256 << 20  # blobs, manifests and unfinished uploads together
REPOSITORIES_MAX = 1000
TAGS_MAX = 10_000  # of one repository

# "<name> MUST match the following regular expression", distribution-spec, "Pulling manifests".
_NAME = re.compile(
    r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*", re.ASCII
)
_NAME_MAX = 255
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", re.ASCII)


@dataclasses.dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest's bytes and the media type it was pushed with."""

    body: bytes
    media_type: str
    digest: digests.Digest


@dataclasses.dataclass(slots=True)
class _Repository:
    blobs: set[digests.Digest] = dataclasses.field(default_factory=set)
    manifests: dict[digests.Digest, StoredManifest] = dataclasses.field(default_factory=dict)
    tags: dict[str, digests.Digest] = dataclasses.field(default_factory=dict)


def refusal(code: str, text: str, *, status: int) -> errors.RegistryError:
    """A negative answer of this registry: the spec's error code, a sentence, the HTTP status."""
    return errors.RegistryError(text, status=status, codes=(code,))


class Content:
    """Everything that was pushed. Not for several threads."""

    def __init__(self, *, total_bytes_max: int = TOTAL_BYTES_MAX) -> None:
        self._repositories: dict[str, _Repository] = {}
        self._blobs: dict[digests.Digest, bytes] = {}
        self._total_bytes_max = total_bytes_max
        self._held_bytes = 0

    def reserve(self, size: int) -> None:
        """Count bytes that are being uploaded; raises RegistryError when they have no room."""
        if self._held_bytes + size > self._total_bytes_max:
            raise refusal(
                "SIZE_INVALID",
                f"this registry holds at most {self._total_bytes_max} bytes in all",
                status=413,
            )
        self._held_bytes += size

    def release(self, size: int) -> None:
        """Take back a reservation."""
        self._held_bytes -= size

    def check_name(self, name: str) -> None:
        """Raise RegistryError unless the name follows the spec's grammar."""
        if len(name) > _NAME_MAX or _NAME.fullmatch(name) is None:
            raise refusal("NAME_INVALID", "invalid repository name", status=400)

    def put_blob(self, name: str, data: bytes, *, digest: digests.Digest) -> None:
        """Keep a blob whose bytes were reserved before; the reservation passes to the blob."""
        repository = self._repository_for_push(name)
        if digests.Digest.of(data) != digest:
            raise refusal("DIGEST_INVALID", "the bytes do not have the digest given", status=400)
        if digest in self._blobs:
            self.release(len(data))
        else:
            self._blobs[digest] = data
        repository.blobs.add(digest)

    def mount(self, name: str, digest: digests.Digest, *, source: str) -> bool:
        """Make another repository's blob this one's too; False if the other has none such."""
        other = self._repositories.get(source)
        if other is None or digest not in other.blobs:
            return False
        self._repository_for_push(name).blobs.add(digest)
        return True

    def blob(self, name: str, digest: digests.Digest) -> bytes:
        """A blob's bytes; raises RegistryError."""
        repository = self._repository(name)
        if repository is None or digest not in repository.blobs:
            raise refusal("BLOB_UNKNOWN", "blob unknown to registry", status=404)
        return self._blobs[digest]

    def put_manifest(
        self, name: str, reference: str, body: bytes, *, media_type: str
    ) -> digests.Digest:
        """Keep a manifest or index under its digest and, if the reference is one, a tag."""
        repository = self._repository_for_push(name)
        digest = digests.Digest.of(body)
        if ":" in reference:
            if parse_digest(reference) != digest:
                raise refusal("DIGEST_INVALID", "the body does not have this digest", status=400)
        elif _TAG.fullmatch(reference) is None:
            raise refusal("TAG_INVALID", "invalid tag", status=400)
        elif reference not in repository.tags and len(repository.tags) >= TAGS_MAX:
            raise refusal("DENIED", f"a repository has at most {TAGS_MAX} tags", status=403)
        self._check_manifest(repository, body, media_type)
        if digest not in repository.manifests:
            self.reserve(len(body))
        repository.manifests[digest] = StoredManifest(body, media_type, digest)
        if ":" not in reference:
            repository.tags[reference] = digest
        return digest

    def manifest(self, name: str, reference: str) -> StoredManifest:
        """What a tag or digest leads to; raises RegistryError."""
        repository = self._repository(name)
        if repository is None:
            raise refusal("NAME_UNKNOWN", "repository name not known to registry", status=404)
        digest = parse_digest(reference) if ":" in reference else repository.tags.get(reference)
        found = None if digest is None else repository.manifests.get(digest)
        if found is None:
            raise refusal("MANIFEST_UNKNOWN", "manifest unknown", status=404)
        return found

    def tags(self, name: str) -> tuple[str, ...]:
        """All tags of a repository in lexical order; raises RegistryError."""
        repository = self._repository(name)
        if repository is None:
            raise refusal("NAME_UNKNOWN", "repository name not known to registry", status=404)
        return tuple(sorted(repository.tags))

    def _repository(self, name: str) -> _Repository | None:
        self.check_name(name)
        return self._repositories.get(name)

    def _repository_for_push(self, name: str) -> _Repository:
        found = self._repository(name)
        if found is not None:
            return found
        if len(self._repositories) >= REPOSITORIES_MAX:
            text = f"this registry holds at most {REPOSITORIES_MAX} repositories"
            raise refusal("DENIED", text, status=403)
        return self._repositories.setdefault(name, _Repository())

    def _check_manifest(self, repository: _Repository, body: bytes, media_type: str) -> None:
        try:
            parsed = manifests.parse(body, media_type=media_type)
        except errors.ContentError as error:
            raise refusal("MANIFEST_INVALID", error.text, status=400) from None
        if isinstance(parsed, manifests.Index):
            is_there = [each.digest in repository.manifests for each in parsed.manifests]
        else:
            is_there = [each.digest in repository.blobs for each in _local_blobs(parsed)]
        if not all(is_there):
            text = "manifest references a manifest or blob unknown to registry"
            raise refusal("MANIFEST_BLOB_UNKNOWN", text, status=404)


def _local_blobs(manifest: manifests.Manifest) -> Iterator[manifests.Descriptor]:
    if manifest.config is not None:
        yield manifest.config
    # A layer with addresses of its own (a foreign layer) need not be here.
    yield from (layer for layer in manifest.layers if not layer.urls)


def parse_digest(text: str) -> digests.Digest:
    """A digest from an address; raises RegistryError."""
    try:
        return digests.Digest.parse(text)
    except errors.ReferenceInvalidError as error:
        raise refusal("DIGEST_INVALID", error.text, status=400) from None
