"""What OpenSSL says of a handshake that failed."""

import ssl

import pytest

from ocisource.net import handshakes
from ocisource.net.handshakes import Distrust


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (9, Distrust.EXPIRED),
        (10, Distrust.EXPIRED),
        (18, Distrust.UNKNOWN_AUTHORITY),
        (20, Distrust.UNKNOWN_AUTHORITY),
        (62, Distrust.WRONG_NAME),
        (64, Distrust.WRONG_NAME),
        (23, Distrust.OTHER),
        (0, Distrust.OTHER),
    ],
)
def test_codes_of_verification_are_sorted(code: int, why: Distrust) -> None:
    """By what a reader can do about them; 23 is a revoked certificate."""
    assert handshakes.distrust(code) is why


@pytest.mark.parametrize(
    ("reason", "alert"),
    [
        ("TLSV1_ALERT_UNKNOWN_CA", "unknown ca"),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "certificate required"),
        ("SSLV3_ALERT_BAD_CERTIFICATE", "bad certificate"),
        ("WRONG_VERSION_NUMBER", ""),
        ("", ""),
    ],
)
def test_an_alert_of_the_peer_is_told_from_other_reasons(reason: str, alert: str) -> None:
    """In small letters, without the version of the protocol."""
    assert handshakes.alert(reason) == alert


def test_an_answer_in_plain_text_is_no_tls() -> None:
    """As this machine's own OpenSSL says it."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    client = context.wrap_bio(incoming, outgoing, server_hostname="example.com")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    incoming.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(ssl.SSLError) as caught:
        client.do_handshake()
    assert handshakes.is_no_tls(caught.value.reason or "")
    assert not handshakes.is_no_tls("TLSV1_ALERT_UNKNOWN_CA")
