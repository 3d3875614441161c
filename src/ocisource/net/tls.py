"""TLS identities: which authorities to trust, and which certificate to show.

A CA is added to the system's roots, never put in their place. Certificates are checked as Go
checks them: any certificate given as CA is an anchor, even if it is no root, and names are looked
for in subjectAltName alone.

``cryptography`` is imported where a client certificate is checked, and nowhere else: it takes 9 MB,
which most controllers never need.
"""

import binascii
import contextlib
import dataclasses
import os
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from typing import Self

from ocisource import errors
from ocisource.net import redact

CERTIFICATE_KEY, PRIVATE_KEY_KEY, CA_KEY = "tls.crt", "tls.key", "ca.crt"
LEGACY_KEYS = {CERTIFICATE_KEY: "certFile", PRIVATE_KEY_KEY: "keyFile", CA_KEY: "caFile"}

_BEGIN = b"-----BEGIN "
_END = b"-----END "
_DASHES = b"-----"
_CERTIFICATE_TYPE = "CERTIFICATE"
_PRIVATE_KEY_SUFFIX = "PRIVATE KEY"


@dataclasses.dataclass(frozen=True, slots=True)
class Origin:
    """Where a CA and a certificate pair are from, for messages: file, Secret and key."""

    ca: str = ""
    pair: str = ""


_NOWHERE = Origin()
_CA_FAILED = "failed to parse CA certificate: "
PAIR_FAILED = "failed to parse TLS certificate and key: "


@dataclasses.dataclass(frozen=True, slots=True)
class TLSIdentity:
    """A CA and a client certificate with its key, each optional, all PEM."""

    ca_pem: bytes | None = None
    certificate_pem: bytes | None = None
    key_pem: bytes | None = None

    def context(
        self,
        *,
        is_verified: bool = True,
        has_system_roots: bool = True,
        origin: Origin = _NOWHERE,
    ) -> ssl.SSLContext:
        """A client context; raises CredentialError, which tells the ``origin``.

        ``is_verified`` False takes any server certificate (``insecure`` without certSecretRef).
        ``has_system_roots`` False trusts the CA alone, as a kubeconfig means it. Reading the
        system's roots takes milliseconds: keep the result.
        """
        if has_system_roots:
            context = ssl.create_default_context()
        else:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # As Go does: a CA of the user's is an anchor even if it is an intermediate or the server's
        # own certificate, and home-made CAs without key identifiers are taken.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.hostname_checks_common_name = False
        self._load_into(context, origin)
        if not is_verified:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def validated(self, *, origin: Origin = _NOWHERE) -> Self:
        """This identity, after making sure that context() will take it; raises CredentialError."""
        # Without the system's roots: Secrets are read at every run, and those take long to read.
        self._load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), origin)
        return self

    def _load_into(self, context: ssl.SSLContext, origin: Origin) -> None:
        if self.ca_pem is not None:
            with _told(_CA_FAILED, origin.ca):
                context.load_verify_locations(cadata=_authorities(self.ca_pem))
        if self.certificate_pem is not None and self.key_pem is not None:
            with _told(PAIR_FAILED, origin.pair):
                _load_pair(context, self.certificate_pem, self.key_pem)

    def __repr__(self) -> str:
        return (
            f"TLSIdentity(has_ca={self.ca_pem is not None}, "
            f"has_certificate={self.certificate_pem is not None})"
        )

    __str__ = __repr__


def from_secret_data(
    data: Mapping[str, bytes], *, secret: str
) -> tuple[TLSIdentity, tuple[str, ...]]:
    """The identity of a ``certSecretRef`` Secret, and the legacy keys that were used.

    Each of ``tls.crt``, ``tls.key`` and ``ca.crt`` falls back to ``certFile``, ``keyFile`` and
    ``caFile`` if the key is absent; a key that is there but empty blocks the fall-back and counts
    as missing. ``secret`` is ``{ns}/{name}`` for messages. Raises CredentialError.
    """
    values: dict[str, bytes | None] = {}
    found: dict[str, str] = {}
    for key, legacy in LEGACY_KEYS.items():
        found[key] = legacy if key not in data and legacy in data else key
        values[key] = data.get(found[key]) or None
    certificate, key_pem, ca = (values[key] for key in (CERTIFICATE_KEY, PRIVATE_KEY_KEY, CA_KEY))
    for has, lacks in ((CERTIFICATE_KEY, PRIVATE_KEY_KEY), (PRIVATE_KEY_KEY, CERTIFICATE_KEY)):
        if values[has] is not None and values[lacks] is None:
            raise errors.CredentialError(
                f"secret '{secret}' contains '{found[has]}' but missing '{lacks}'"
            )
    if certificate is None and ca is None:
        raise errors.CredentialError(
            f"secret '{secret}' must contain either '{CA_KEY}' or both "
            f"'{CERTIFICATE_KEY}' and '{PRIVATE_KEY_KEY}'"
        )
    legacy_used = tuple(
        found[key] for key in LEGACY_KEYS if found[key] != key and values[key] is not None
    )
    origin = Origin(
        ca=f"secret '{secret}', key '{found[CA_KEY]}'",
        pair=f"secret '{secret}', keys '{found[CERTIFICATE_KEY]}' and '{found[PRIVATE_KEY_KEY]}'",
    )
    identity = TLSIdentity(ca_pem=ca, certificate_pem=certificate, key_pem=key_pem)
    return identity.validated(origin=origin), legacy_used


@contextlib.contextmanager
def _told(what: str, where: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, ssl.SSLError, OSError) as error:
        cause = redact.foreign(str(error)) or type(error).__name__
        place = f" ({where})" if where else ""
        raise errors.CredentialError(f"{what}{cause}{place}") from None


def _authorities(pem: bytes) -> bytes:
    """DER of all certificates in a PEM bundle; what is no certificate is passed over, as in Go.

    Raises ValueError when there is none.
    """
    blocks = list(_blocks(pem))
    if not blocks:
        raise ValueError("no PEM data, which begins with -----BEGIN CERTIFICATE-----")
    found = [block for kind, block in blocks if kind == _CERTIFICATE_TYPE]
    if not found:
        raise ValueError(f"PEM data of type {blocks[0][0]} rather than CERTIFICATE")
    certificates = [der for block in found if (der := _der(block))]
    judge = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    whole = b"".join(certificates)
    if not _is_loadable(judge, whole):
        # Some are none: they are left out, which takes a look at each.
        whole = b"".join(der for der in certificates if _is_loadable(judge, der))
    if not whole:
        raise ValueError("its certificate is damaged; copy the whole file again")
    return whole


def _der(block: bytes) -> bytes:
    """What is between the lines of a PEM block; nothing if it is no base64."""
    lines = block.strip().splitlines()
    try:
        return binascii.a2b_base64(b"".join(line.strip() for line in lines[1:-1]))
    except ValueError:
        return b""


def _is_loadable(judge: ssl.SSLContext, certificates: bytes) -> bool:
    """Whether OpenSSL takes these bytes for certificates, one after the other, and nothing else."""
    try:
        judge.load_verify_locations(cadata=certificates)
    except (ssl.SSLError, ValueError):
        return False
    return True


def _load_pair(context: ssl.SSLContext, certificate_pem: bytes, key_pem: bytes) -> None:
    _check_pair(certificate_pem, key_pem)
    with _readable_file(certificate_pem + b"\n" + key_pem) as path:
        context.load_cert_chain(path)


def _check_pair(certificate_pem: bytes, key_pem: bytes) -> None:
    """Say what is wrong with a pair in the words of Go's crypto/tls; raises ValueError."""
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    certificates = _pick(certificate_pem, "certificate")
    keys = _pick(key_pem, "key")
    try:
        certificate = x509.load_pem_x509_certificate(certificates)
    except ValueError:
        raise ValueError("x509: malformed certificate") from None
    try:
        key = serialization.load_pem_private_key(keys, password=None)
    except TypeError:
        raise ValueError("tls: private key is encrypted; store it without a password") from None
    except Exception:  # noqa: BLE001 - the library's own UnsupportedAlgorithm and ValueError
        raise ValueError("tls: failed to parse private key") from None
    mine, theirs = (
        public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        for public in (key.public_key(), certificate.public_key())
    )
    if mine != theirs:
        raise ValueError("tls: private key does not match public key")


def _pick(pem: bytes, what: str) -> bytes:
    """The first block of a PEM input that is a certificate or a key; raises ValueError."""
    blocks = list(_blocks(pem))
    if not blocks:
        raise ValueError(f"tls: failed to find any PEM data in {what} input")
    for kind, block in blocks:
        is_wanted = (
            kind == _CERTIFICATE_TYPE
            if what == "certificate"
            else kind.endswith(_PRIVATE_KEY_SUFFIX)
        )
        if is_wanted:
            return block
    kinds = [kind for kind, _ in blocks]
    if what == "certificate":
        if any(kind.endswith(_PRIVATE_KEY_SUFFIX) for kind in kinds):
            raise ValueError(
                "tls: failed to find certificate PEM data in certificate input, but did find a "
                "private key; PEM inputs may have been switched"
            )
        raise ValueError(
            'tls: failed to find "CERTIFICATE" PEM block in certificate input after skipping PEM '
            f"blocks of the following types: [{' '.join(kinds)}]"
        )
    if kinds == [_CERTIFICATE_TYPE]:
        raise ValueError(
            "tls: found a certificate rather than a key in the PEM for the private key"
        )
    raise ValueError(
        'tls: failed to find PEM block with type ending in "PRIVATE KEY" in key input after '
        f"skipping PEM blocks of the following types: [{' '.join(kinds)}]"
    )


def _blocks(pem: bytes) -> Iterator[tuple[str, bytes]]:
    """Type and text of each PEM block (RFC 7468); text around them is passed over."""
    position = 0
    # From the footers, so that a Secret full of headers costs no more than its length.
    while (footer := pem.find(_END, position)) >= 0:
        start = pem.rfind(_BEGIN, position, footer)
        label_end = pem.find(_DASHES, start + len(_BEGIN), footer)
        label = pem[start + len(_BEGIN) : label_end]
        position = footer + len(_END)
        if start >= 0 and label_end >= 0 and pem.startswith(label + _DASHES, position):
            position += len(label) + len(_DASHES)
            yield label.decode("ascii", errors="replace"), pem[start:position] + b"\n"


@contextlib.contextmanager
def _readable_file(content: bytes) -> Iterator[str]:
    """A path that OpenSSL can read the content from, in memory where the system allows it.

    The ssl module takes a key only from a file; a key must not be left on a disk.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("tls")
        try:
            os.write(descriptor, content)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.NamedTemporaryFile() as file:  # mode 0600, removed on leaving
        file.write(content)
        file.flush()
        yield file.name
