"""What goes wrong on the way to an API server, in words: what it is, and what to do.

The libraries' own texts repeat addresses, and name lines of their own source.
"""

import contextlib
import os
import ssl
import typing

import aiohttp

from ocisource import errors
from ocisource.net import handshakes, redact

_OF_CLIENTS = ("certificate", "unknown ca", "access denied")  # in alerts about a client's


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
    why = handshakes.distrust(getattr(error, "verify_code", 0))
    text = redact.foreign(str(getattr(error, "verify_message", ""))).rstrip(".") or "not trusted"
    if why is handshakes.Distrust.EXPIRED:
        return f"{text}; renew it on the server, or set this machine's clock"
    if why is handshakes.Distrust.UNKNOWN_AUTHORITY:
        return (
            f"{text}; certificate-authority in the kubeconfig, or --certificate-authority, names "
            "whom to trust"
        )
    if why is handshakes.Distrust.WRONG_NAME:
        return f"{text}; --tls-server-name says which name it must have"
    return text


def _tls(error: BaseException) -> str:
    reason = str(getattr(error, "reason", None) or "")
    if handshakes.is_no_tls(reason):
        return "no TLS is spoken there; is it the right port, or http:// rather than https://?"
    return reason.lower().replace("_", " ") or "handshake failure"


def _refused(host: str, alert: str) -> errors.TLSError:
    return errors.TLSError(f"the API server {host} does not take the client certificate: {alert}")


def _refusal(error: BaseException) -> str:
    """The server's alert about our certificate; with TLS 1.3 it comes after the handshake."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    alert = handshakes.alert((cause.reason or "") if isinstance(cause, ssl.SSLError) else "")
    return alert if any(word in alert for word in _OF_CLIENTS) else ""


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
