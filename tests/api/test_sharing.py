"""Objects that share their texts are the objects they were."""

import msgspec

from ocisource.api import ocirepository, sharing

WIRE = b"""{
  "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "OCIRepository",
  "metadata": {"name": "podinfo", "namespace": "default", "generation": 2, "uid": "u",
    "finalizers": ["finalizers.fluxcd.io"], "labels": {"a": "b"}, "annotations": {"c": "d"},
    "creationTimestamp": "2022-06-14T11:23:36Z"},
  "spec": {"url": "oci://ghcr.io/a/b", "interval": "5m", "ignore": "", "ref": {"tag": "1"}},
  "status": {"observedGeneration": 2, "contentConfigChecksum": "sha256:0", "conditions": [
    {"type": "Ready", "status": "True", "reason": "Succeeded", "message": "stored artifact",
      "observedGeneration": 2, "lastTransitionTime": "2022-06-14T11:23:36Z"},
    {"type": "ArtifactInStorage", "status": "True", "reason": "Succeeded",
      "message": "stored artifact", "observedGeneration": 2,
      "lastTransitionTime": "2022-06-14T11:23:36Z"}]}
}"""


def _decoded() -> ocirepository.OCIRepository:
    return msgspec.json.decode(WIRE, type=ocirepository.OCIRepository)


def test_sharing_changes_no_value() -> None:
    """Equal in every field, to another object and on the wire."""
    obj = _decoded()
    shared = sharing.shared(obj)
    assert shared == obj
    assert msgspec.json.encode(shared) == msgspec.json.encode(obj)


def test_equal_texts_are_one() -> None:
    """Within an object and between objects."""
    one, other = sharing.shared(_decoded()), sharing.shared(_decoded())
    ready, stored = one.status.conditions
    assert ready.message is stored.message
    assert ready.last_transition_time is one.metadata.creation_timestamp
    assert one.spec.interval is other.spec.interval
    assert one.metadata.namespace is other.metadata.namespace
    assert ready.reason is other.status.conditions[0].reason
