"""Condition types, reasons and their polarity, as the OCIRepository API documents them."""

import typing

from ocisource.api import conditions

FETCH_FAILED: typing.Final = "FetchFailed"
STORAGE_OPERATION_FAILED: typing.Final = "StorageOperationFailed"
ARTIFACT_OUTDATED: typing.Final = "ArtifactOutdated"
ARTIFACT_IN_STORAGE: typing.Final = "ArtifactInStorage"
SOURCE_VERIFIED: typing.Final = "SourceVerified"

# Which condition speaks for Ready when several could: the first of these.
PRIORITY: typing.Final = (
    STORAGE_OPERATION_FAILED,
    FETCH_FAILED,
    ARTIFACT_OUTDATED,
    ARTIFACT_IN_STORAGE,
    SOURCE_VERIFIED,
    conditions.STALLED,
    conditions.RECONCILING,
)
POSITIVE: typing.Final = frozenset({ARTIFACT_IN_STORAGE, SOURCE_VERIFIED})
NEGATIVE: typing.Final = frozenset(PRIORITY) - POSITIVE
OWNED: typing.Final = frozenset(PRIORITY) | {conditions.READY}

SUCCEEDED: typing.Final = "Succeeded"
FAILED: typing.Final = "Failed"
NEW_GENERATION: typing.Final = "NewGeneration"
NO_ARTIFACT: typing.Final = "NoArtifact"
NEW_REVISION: typing.Final = "NewRevision"
URL_INVALID: typing.Final = "URLInvalid"
SPEC_INVALID: typing.Final = "SpecInvalid"
NOT_SUPPORTED: typing.Final = "NotSupported"
FEATURE_GATE_DISABLED: typing.Final = "FeatureGateDisabled"
AUTHENTICATION_FAILED: typing.Final = "AuthenticationFailed"
READ_OPERATION_FAILED: typing.Final = "ReadOperationFailed"
PULL_FAILED: typing.Final = "OCIArtifactPullFailed"
LAYER_OPERATION_FAILED: typing.Final = "OCIArtifactLayerOperationFailed"
DIRECTORY_CREATION_FAILED: typing.Final = "DirectoryCreationFailed"
ARCHIVE_OPERATION_FAILED: typing.Final = "ArchiveOperationFailed"
SOURCE_IGNORE_ERROR: typing.Final = "SourceIgnoreError"

# Reasons of events that are no condition's.
NEW_ARTIFACT: typing.Final = "NewArtifact"
ARTIFACT_UP_TO_DATE: typing.Final = "ArtifactUpToDate"
ARTIFACT_VERIFICATION_FAILED: typing.Final = "ArtifactVerificationFailed"
GARBAGE_COLLECTION_SUCCEEDED: typing.Final = "GarbageCollectionSucceeded"
GARBAGE_COLLECTION_FAILED: typing.Final = "GarbageCollectionFailed"
SYMLINK_UPDATE_FAILED: typing.Final = "SymlinkUpdateFailed"
PATCH_OPERATION_FAILED: typing.Final = "PatchOperationFailed"
