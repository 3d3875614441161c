"""Flux's own definitions of OCIRepository, release by release: their facts, without their texts.

Fields, required keys, patterns, enums, defaults and versions are those of source-controller's
``config/crd/bases/source.toolkit.fluxcd.io_ocirepositories.yaml`` at the release that names each
definition here; descriptions are left out, as nothing goes by them.
"""

import copy
from collections.abc import Mapping
from typing import Any, Final

from ocisource.api import ocirepository

Document = dict[str, Any]

_TEXT: Final[Document] = {"type": "string"}
_FLAG: Final[Document] = {"type": "boolean"}
_COUNT: Final[Document] = {"type": "integer", "format": "int64"}
_TIME: Final[Document] = {"type": "string", "format": "date-time"}


def _object(properties: Mapping[str, Document], *required: str) -> Document:
    made: Document = {"type": "object", "properties": dict(properties)}
    return made | ({"required": list(required)} if required else {})


_NAMED: Final = _object({"name": _TEXT}, "name")
_INTERVAL: Final = _TEXT | {"pattern": r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"}
_TIMEOUT: Final = _TEXT | {"pattern": r"^([0-9]+(\.[0-9]+)?(ms|s|m))+$", "default": "60s"}
_DIGEST: Final = _TEXT | {"pattern": "^[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$"}
_SELECTOR: Final = _object(
    {"mediaType": _TEXT, "operation": _TEXT | {"enum": ["extract", "copy"]}},
)

_CONDITION: Final = _object(
    {
        "lastTransitionTime": _TIME,
        "message": _TEXT | {"maxLength": 32768},
        "observedGeneration": _COUNT | {"minimum": 0},
        "reason": _TEXT
        | {
            "maxLength": 1024,
            "minLength": 1,
            "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
        },
        "status": _TEXT | {"enum": ["True", "False", "Unknown"]},
        "type": _TEXT
        | {
            "maxLength": 316,
            "pattern": r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
            r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
        },
    },
    *("lastTransitionTime", "message", "reason", "status", "type"),
)

# What every release has.
_SPEC: Final[Document] = {
    "certSecretRef": _NAMED,
    "ignore": _TEXT,
    "insecure": _FLAG,
    "interval": _TEXT,
    "layerSelector": _object({"mediaType": _TEXT}),
    "provider": _TEXT | {"enum": ["generic", "aws", "azure", "gcp"], "default": "generic"},
    "ref": _object({"digest": _TEXT, "semver": _TEXT, "tag": _TEXT}),
    "secretRef": _NAMED,
    "serviceAccountName": _TEXT,
    "suspend": _FLAG,
    "timeout": _TEXT | {"default": "60s"},
    "url": _TEXT | {"pattern": "^oci://.*$"},
}
_ARTIFACT: Final[Document] = {
    "lastUpdateTime": _TIME,
    "metadata": {"type": "object", "additionalProperties": _TEXT},
    "path": _TEXT,
    "revision": _TEXT,
    "size": _COUNT,
    "url": _TEXT,
}
_STATUS: Final[Document] = {
    "conditions": {"type": "array", "items": _CONDITION},
    "lastHandledReconcileAt": _TEXT,
    "observedGeneration": _COUNT,
    "url": _TEXT,
}

# What came later.
_VERIFY: Final[Document] = {
    "matchOIDCIdentity": {
        "type": "array",
        "items": _object({"issuer": _TEXT, "subject": _TEXT}, "issuer", "subject"),
    },
    "provider": _TEXT | {"enum": ["cosign", "notation"], "default": "cosign"},
    "secretRef": _NAMED,
}
_LATER_SPEC: Final[Document] = {
    "interval": _INTERVAL,
    "layerSelector": _SELECTOR,
    "proxySecretRef": _NAMED,
    "ref": _object({"digest": _TEXT, "semver": _TEXT, "semverFilter": _TEXT, "tag": _TEXT}),
    "timeout": _TIMEOUT,
    "verify": _object(_VERIFY, "provider"),
}
_LATER_STATUS: Final[Document] = {
    "artifact": _object(
        _ARTIFACT | {"digest": _DIGEST}, "lastUpdateTime", "path", "revision", "url"
    ),
    "observedIgnore": _TEXT,
    "observedLayerSelector": _SELECTOR,
}
_CHECKSUM: Final[Document] = {"contentConfigChecksum": _TEXT}


def _version(name: str, spec: Document, status: Document, *, is_storage: bool = True) -> Document:
    schema = _object(
        {
            "apiVersion": _TEXT,
            "kind": _TEXT,
            "metadata": {"type": "object"},
            "spec": _object(spec, "interval", "url"),
            "status": _object(status) | {"default": {"observedGeneration": -1}},
        }
    )
    ready = '.status.conditions[?(@.type=="Ready")]'
    columns = (
        ("URL", "string", ".spec.url"),
        ("Ready", "string", f"{ready}.status"),
        ("Status", "string", f"{ready}.message"),
        ("Age", "date", ".metadata.creationTimestamp"),
    )
    return {
        "name": name,
        "served": True,
        "storage": is_storage,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [
            {"name": name, "type": type_, "jsonPath": path} for name, type_, path in columns
        ],
    }


def _definition(*versions: Document, categories: tuple[str, ...] = ()) -> Document:
    made = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{ocirepository.PLURAL}.{ocirepository.GROUP}",
            "labels": {
                "app.kubernetes.io/component": "source-controller",
                "app.kubernetes.io/instance": "flux-system",
                "app.kubernetes.io/part-of": "flux",
            },
        },
        "spec": {
            "group": ocirepository.GROUP,
            "names": {
                "kind": ocirepository.KIND,
                "listKind": f"{ocirepository.KIND}List",
                "plural": ocirepository.PLURAL,
                "shortNames": ["ocirepo"],
                "singular": "ocirepository",
                **({"categories": list(categories)} if categories else {}),
            },
            "scope": "Namespaced",
            "versions": list(versions),
        },
    }
    return copy.deepcopy(made)  # nothing above is shared with what a test may change


# 2022: one version, no patterns for durations, artifacts with a checksum and without a digest.
V0_29: Final = _definition(
    _version(
        "v1beta2",
        _SPEC,
        _STATUS | {"artifact": _object(_ARTIFACT | {"checksum": _TEXT}, "path", "url")},
    )
)
# 2024: the last release with v1beta2 alone.
V1_5: Final = _definition(
    _version("v1beta2", _SPEC | _LATER_SPEC, _STATUS | _LATER_STATUS | _CHECKSUM)
)
# 2025: v1 is stored, v1beta2 served with a warning.
V1_6: Final = _definition(
    _version("v1", _SPEC | _LATER_SPEC, _STATUS | _LATER_STATUS),
    _version("v1beta2", _SPEC | _LATER_SPEC, _STATUS | _LATER_STATUS | _CHECKSUM, is_storage=False)
    | {
        "deprecated": True,
        "deprecationWarning": "v1beta2 OCIRepository is deprecated, upgrade to v1",
    },
)
# 2026: v1 alone, and no artifact without a digest.
V1_9: Final = _definition(
    _version(
        "v1",
        _SPEC
        | _LATER_SPEC
        | {"verify": _object(_VERIFY | {"trustedRootSecretRef": _NAMED}, "provider")},
        _STATUS
        | _LATER_STATUS
        | {
            "artifact": _object(
                _ARTIFACT | {"digest": _DIGEST},
                *("digest", "lastUpdateTime", "path", "revision", "url"),
            )
        },
    ),
    categories=("all", "fluxcd", "fluxcd-sources"),
)

RELEASES: Final[Mapping[str, Document]] = {
    "v0.29": V0_29,
    "v1.5": V1_5,
    "v1.6": V1_6,
    "v1.9": V1_9,
}


def schema(definition: Document, version: str) -> Document:
    """The structural schema of one version; raises KeyError."""
    for each in definition["spec"]["versions"]:
        if each["name"] == version:
            found: Document = each["schema"]["openAPIV3Schema"]
            return found
    raise KeyError(version)
