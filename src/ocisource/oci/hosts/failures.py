"""What can go wrong on the way to a host, in our errors.

One place translates the exceptions of aiohttp, ssl and the system; texts name the method, the
redacted URL and the cause in the words that Go programs use, which is what users search for.
"""

import contextlib
import copy
import os
import socket
import ssl
from collections.abc import Iterator
from typing import NoReturn

import aiohttp

from ocisource import errors
from ocisource.net import handshakes, redact, socks

# ValueError: yarl, and the parser for what a server sends.
FOREIGN = (aiohttp.ClientError, *socks.ERRORS, OSError, ValueError)
# First match counts. {cause} is what the system or the peer said.
_TABLE: tuple[
    tuple[type[BaseException] | tuple[type[BaseException], ...], str, type[errors.TransportError]],
    ...,
] = (
    (aiohttp.ConnectionTimeoutError, "dial: i/o timeout", errors.DeadlineError),
    (TimeoutError, "no data came for too long: i/o timeout", errors.DeadlineError),
    (aiohttp.ClientHttpProxyError, "proxy: {cause}", errors.TransportError),
    (
        (aiohttp.ClientProxyConnectionError, *socks.ERRORS),
        "proxy: {cause}",
        errors.TransportError,
    ),
    ((aiohttp.ClientConnectorDNSError, socket.gaierror), "lookup: {cause}", errors.TransportError),
    (aiohttp.ClientConnectorError, "dial: {cause}", errors.TransportError),
    (aiohttp.InvalidURL, "invalid URL: {cause}", errors.TransportError),
    # Also what a kept connection brings when an earlier answer was longer than it said.
    (aiohttp.ClientResponseError, "malformed HTTP response: {cause}", errors.ConnectionLostError),
    (ValueError, "{cause}", errors.TransportError),
    (BaseException, "the connection broke: {cause}", errors.ConnectionLostError),
)


@contextlib.contextmanager
def translated(method: str, url: str) -> Iterator[None]:
    """Turn foreign exceptions of a request into TransportError and its leaves.

    ConnectionLostError is what another try may mend. Cancellation and our own errors pass.
    """
    try:
        yield
    except FOREIGN as error:
        raise translation(error, method, url) from error


def translation(error: BaseException, method: str, url: str) -> errors.TransportError:
    """Our error for one of FOREIGN."""
    where = f"{method} {redact.url(url)}"
    cause = _cause(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return errors.TLSError(f"{where}: tls: failed to verify certificate: {_x509(cause)}")
    if isinstance(cause, ssl.SSLError):
        return errors.TLSError(f"{where}: {_tls(cause)}")
    text, kind = next((text, kind) for types, text, kind in _TABLE if isinstance(error, types))
    return kind(f"{where}: {text.format(cause=_say(error, cause))}")


def raise_named(error: errors.OcisourceError, where: str, *, url_part: str) -> NoReturn:
    """Raise the error; with ``where`` before its text unless that names the place already.

    ``url_part`` is how URLs name it. A token service, a redirect target and a host that asked to be
    left alone say nothing of the repository and the reference that were wanted.
    """
    text = str(error)
    if where in text or url_part in text:
        raise error
    found = copy.copy(error)  # several callers may hold the one that was raised
    found.args = (f"{where}: {text}",)
    raise found from error


def _say(error: BaseException, cause: BaseException) -> str:
    """The cause in a few words."""
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"{error.status} {redact.foreign(error.message)}"
    if isinstance(error, aiohttp.InvalidURL):
        return redact.foreign(error.description or "unreadable")
    if isinstance(error, aiohttp.ClientResponseError):
        return redact.foreign(error.message)
    return _system(cause)


def _cause(error: BaseException) -> BaseException:
    """The innermost exception that says something of its own."""
    while True:
        inner = getattr(error, "os_error", None) or error.__cause__
        if not isinstance(inner, BaseException) or inner is error:
            return error
        error = inner


def _x509(error: ssl.SSLCertVerificationError) -> str:
    why = handshakes.distrust(error.verify_code)
    if why is handshakes.Distrust.EXPIRED:
        return "x509: certificate has expired or is not yet valid"
    if why is handshakes.Distrust.UNKNOWN_AUTHORITY:
        return "x509: certificate signed by unknown authority (a private one must be given as CA)"
    if why is handshakes.Distrust.WRONG_NAME:
        return "x509: certificate is valid for another name: " + redact.foreign(
            error.verify_message
        )
    return f"x509: {redact.foreign(error.verify_message)}"


def _tls(error: ssl.SSLError) -> str:
    reason = error.reason or ""
    if alert := handshakes.alert(reason):
        return f"remote error: tls: {alert}"
    if handshakes.is_no_tls(reason) or "record layer" in str(error).lower():
        return "tls: first record does not look like a TLS handshake (plain HTTP? set insecure)"
    return f"tls: {reason.lower().replace('_', ' ') or 'handshake failure'}"


def _system(error: BaseException) -> str:
    if isinstance(error, socket.gaierror):
        return "no such host" if error.errno == socket.EAI_NONAME else str(error.strerror)
    if isinstance(error, OSError) and error.errno is not None:
        with contextlib.suppress(ValueError, OverflowError):
            return os.strerror(error.errno).lower()
    return redact.foreign(str(error)) or type(error).__name__
