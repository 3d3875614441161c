"""What goes wrong on the way to an API server, in words: what it is, and what to do.

The libraries' own texts repeat addresses, and name lines of their own source.
"""

import contextlib
import os
import re
import ssl
import typing

import aiohttp

from ocisource import errors
from ocisource.net import redact

# OpenSSL's x509_vfy.h.
_EXPIRED = frozenset({9, 10})  # not yet valid, expired
_UNKNOWN_AUTHORITY = frozenset({2, 18, 19, 20, 21})
_WRONG_NAME = frozenset({62, 64})  # a host name, an IP address
# What OpenSSL makes of an alert of the peer, and of an answer that is no TLS.
_ALERT = re.compile(r"(?:SSLV3|TLSV1|TLSV13)_ALERT_(?P<name>.+)")
_NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"})
_OF_CLIENTS = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED")


@contextlib.contextmanager
def translated(host: str) -> typing.Iterator[None]:
    """Turn exceptions of a request to the API server into TransportError and its leaves."""
    try:
        yield
    except aiohttp.ClientConnectorCertificateError as exc:
        error = exc.certificate_error
        raise errors.TLSError(f"certificate of the API server {host}: {_distrust(error)}") from exc
    except aiohttp.ClientProxyConnectionError as exc:
        raise errors.NotSentError(
            f"cannot connect to the proxy {exc.host}:{exc.port} for the API server {host}: "
            f"{_reason(exc)}"
        ) from exc
    except aiohttp.ClientHttpProxyError as exc:
        # Its own text shows a URL, and a reason that may be anything.
        raise errors.NotSentError(
            f"the proxy for the API server {host} answered with HTTP status {exc.status}"
        ) from exc
    except aiohttp.ClientConnectorSSLError as exc:
        if refused := _refusal(exc.os_error):
            raise _refused(host, refused) from exc
        raise errors.TLSError(f"TLS with the API server {host}: {_tls(exc.os_error)}") from exc
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as exc:
        raise errors.NotSentError(
            f"cannot connect to the API server {host}: {_reason(exc)}"
        ) from exc
    except TimeoutError as exc:
        raise errors.DeadlineError(f"the API server {host} did not answer in time") from exc
    except (aiohttp.ClientError, ConnectionError) as exc:
        if refused := _refusal(exc):
            raise _refused(host, refused) from exc
        raise errors.TransportError(f"connection to the API server {host}: {_broken(exc)}") from exc


def _distrust(error: BaseException) -> str:
    """Why the server's certificate is not taken."""
    code = getattr(error, "verify_code", 0)
    text = redact.foreign(str(getattr(error, "verify_message", ""))).rstrip(".") or "not trusted"
    if code in _EXPIRED:
        return f"{text}; renew it on the server, or set this machine's clock"
    if code in _UNKNOWN_AUTHORITY:
        return (
            f"{text}; certificate-authority in the kubeconfig, or --certificate-authority, names "
            "whom to trust"
        )
    if code in _WRONG_NAME:
        return f"{text}; --tls-server-name says which name it must have"
    return text


def _tls(error: BaseException) -> str:
    reason = getattr(error, "reason", None) or ""
    if reason in _NOT_TLS:
        return "no TLS is spoken there; is it the right port, or http:// rather than https://?"
    return str(reason).lower().replace("_", " ") or "handshake failure"


def _refused(host: str, alert: str) -> errors.TLSError:
    return errors.TLSError(f"the API server {host} does not take the client certificate: {alert}")


def _refusal(error: BaseException) -> str:
    """The server's alert about our certificate; with TLS 1.3 it comes after the handshake."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    found = _ALERT.fullmatch((cause.reason or "") if isinstance(cause, ssl.SSLError) else "")
    if found is None or not any(word in found["name"] for word in _OF_CLIENTS):
        return ""
    return found["name"].lower().replace("_", " ")


def _broken(error: BaseException) -> str:
    number = getattr(error, "errno", None) or 0
    if number > 1:  # OpenSSL's errors have the number 1, whatever they are
        return os.strerror(number).lower()
    text = getattr(error, "strerror", None) or str(error)
    return redact.foreign(text) or type(error).__name__


def _reason(exc: BaseException) -> str:
    """Why no connection was made; asyncio's own text repeats the address."""
    if isinstance(exc, aiohttp.ConnectionTimeoutError):
        return "connect timeout"
    number = getattr(exc, "errno", None) or 0
    # A failed look-up has a negative number.
    text = os.strerror(number) if number > 0 else getattr(exc, "strerror", None)
    return (text or "the connection was closed").lower()
