"""What OpenSSL says when a TLS handshake fails, sorted: distrust, an alert of the peer, no TLS.

Who speaks to a registry, and who to an API server, says each in words of its own.
"""

import enum
import re

# OpenSSL's X509_V_ERR_* (x509_vfy.h).
_EXPIRED = frozenset({9, 10})  # not yet valid, expired
_UNKNOWN_AUTHORITY = frozenset({2, 18, 19, 20, 21})
_WRONG_NAME = frozenset({62, 64})  # a host name, an IP address
# What it makes of an alert of the peer, and of an answer that is no TLS.
_ALERT = re.compile(r"(?:SSLV3|TLSV1|TLSV13)_ALERT_(?P<name>[A-Z0-9_]+)")
_NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"})


class Distrust(enum.Enum):
    """Why a certificate is not taken."""

    EXPIRED = "expired, or not yet valid"
    UNKNOWN_AUTHORITY = "signed by nobody who is trusted"
    WRONG_NAME = "made for another name"
    OTHER = "something else"


def distrust(verify_code: int) -> Distrust:
    """What a code of certificate verification means."""
    if verify_code in _EXPIRED:
        return Distrust.EXPIRED
    if verify_code in _UNKNOWN_AUTHORITY:
        return Distrust.UNKNOWN_AUTHORITY
    return Distrust.WRONG_NAME if verify_code in _WRONG_NAME else Distrust.OTHER


def alert(reason: str) -> str:
    """The peer's alert in small letters (``unknown ca``), if that is the reason; else nothing."""
    found = _ALERT.fullmatch(reason)
    return found["name"].lower().replace("_", " ") if found else ""


def is_no_tls(reason: str) -> bool:
    """Whether the peer speaks something else."""
    return reason in _NOT_TLS
