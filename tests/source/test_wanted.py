"""What a source asks for, as errors name it."""

import pytest

from ocisource.oci.grammar import manifest, reference
from ocisource.source import wanted

DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "example.com/app:latest"),
        ({"tag": "v1"}, "example.com/app:v1"),
        ({"tag": "v1", "semver": ">=1"}, "example.com/app (semver '>=1')"),
        ({"tag": "v1", "semver": ">=1", "digest": DIGEST}, f"example.com/app@{DIGEST}"),
    ],
)
def test_the_version_that_decides_is_named(fields: dict[str, str], text: str) -> None:
    """The repository with its digest, range or tag, in this order."""
    repository = reference.Repository.parse("example.com/app")
    asked = wanted.Wanted(repository=repository, platform=manifest.DEFAULT_PLATFORM, **fields)  # type: ignore[arg-type]
    assert str(asked) == text
