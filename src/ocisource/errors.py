"""The one tree of errors. Libraries raise these and know no condition.

The reconciler adds the meaning.

::

    OcisourceError
    ├── InvalidInputError            the user wrote it: it stalls, a retry cannot help
    │   ├── URLInvalidError            spec.url is not acceptable
    │   ├── PatchFailedError           a JSON patch that does not fit its document
    │   └── UsageError                 a flag, an environment variable or a file of the command line
    ├── ReferenceInvalidError        a tag, digest, range or filter that cannot be used (retried)
    │   └── NoMatchError               the range is fine, but no tag satisfies it
    ├── CredentialError              a Secret, TLS pair, proxy or cloud login that cannot be used
    ├── TransportError               connect, deadline, TLS, proxy
    │   ├── NotSentError               no connection was made: the request had no effect
    │   ├── DeadlineError              the time allowed ran out
    │   ├── TLSError                   the peer's certificate, or ours, was not accepted
    │   └── ForbiddenAddressError      a redirect, realm or name leads where it must not
    ├── RegistryError                the registry answered, and the answer is no
    │   ├── UnauthorizedError          401 or 403
    │   ├── NotFoundError              404
    │   └── TooManyRequestsError       429, or the host's budget is spent; carries retry_after
    ├── ContentError                 digest or size mismatch, unsupported media type, no such layer
    ├── ArchiveError                 what is inside the layer cannot be packed
    │   ├── UnsafeEntryError           a name or type that must not be unpacked
    │   ├── LimitExceededError         a bound on size, count, ratio or name length
    │   ├── CorruptArchiveError        damaged gzip, zstd or tar
    │   └── IgnoreRulesError           a .sourceignore file that cannot be read
    ├── StorageError                 the store could not do it (disk full, no permission)
    ├── APIStatusError               the Kubernetes API answered with a Status
    └── AbandonedError               the work was called off (a newer generation, a stop)

Every text is one line, says what, where and, if it can, what to do, and holds no credential.
"""


class OcisourceError(Exception):
    """Whatever this package raises on purpose."""

    @property
    def text(self) -> str:
        """The error as one line."""
        return " ".join(str(self).split()) or type(self).__name__


class InvalidInputError(OcisourceError):
    """The user wrote something that no retry can mend."""


class URLInvalidError(InvalidInputError):
    """An address that is no OCI repository."""


class PatchFailedError(InvalidInputError):
    """A JSON patch that does not fit the document it is for."""


class UsageError(InvalidInputError):
    """A flag, an environment variable or a file named on the command line is wrong."""


class ReferenceInvalidError(OcisourceError):
    """A tag, digest, range or filter that cannot be used."""


class NoMatchError(ReferenceInvalidError):
    """No tag satisfies the range."""


class CredentialError(OcisourceError):
    """A Secret, TLS pair, proxy or cloud login that cannot be used."""


class TransportError(OcisourceError):
    """The host could not be spoken to."""


class NotSentError(TransportError):
    """No connection was made, so the request certainly had no effect."""


class ConnectionLostError(TransportError):
    """A connection that stood broke; the same request may succeed on another one."""


class DeadlineError(TransportError):
    """The time allowed ran out."""


class TLSError(TransportError):
    """A certificate was not accepted."""


class ForbiddenAddressError(TransportError):
    """A name, redirect or realm leads to an address that must not be contacted."""


class RegistryError(OcisourceError):
    """A registry's negative answer.

    ``status`` is the HTTP status, ``codes`` the error codes of the distribution spec,
    ``retry_after`` the seconds the registry asks to wait, if it does.
    """

    def __init__(
        self,
        text: str,
        *,
        method: str = "",
        url: str = "",
        status: int = 0,
        codes: tuple[str, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(text)
        self.method = method
        self.url = url
        self.status = status
        self.codes = codes
        self.retry_after = retry_after


class UnauthorizedError(RegistryError):
    """The registry does not accept the credential, or wants one."""


class NotFoundError(RegistryError):
    """The registry has no such repository, manifest or blob."""


class TooManyRequestsError(RegistryError):
    """The registry asks to be left alone for ``retry_after`` seconds."""


class ContentError(OcisourceError):
    """Content that does not match its digest or size, or cannot be used."""


class ArchiveError(OcisourceError):
    """What is inside a layer cannot be packed."""


class UnsafeEntryError(ArchiveError):
    """An entry whose name or type must not be unpacked."""


class LimitExceededError(ArchiveError):
    """A bound on size, count, ratio or name length; the text names the flag that raises it."""


class CorruptArchiveError(ArchiveError):
    """A damaged gzip or zstd stream, or a damaged tar."""


class IgnoreRulesError(ArchiveError):
    """A .sourceignore file that cannot be read."""


class StorageError(OcisourceError):
    """The store could not do what was asked."""


class APIStatusError(OcisourceError):
    """A Kubernetes API's Status with a failure; ``code``, ``reason`` and ``details`` as there."""

    def __init__(
        self,
        message: str,
        *,
        code: int,
        reason: str = "",
        details: dict[str, object] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.details = details or {}
        self.retry_after = retry_after


class AbandonedError(OcisourceError):
    """The work was called off before it was done."""
