"""The server's own certificate authority, its certificate, and the key that signs tokens.

Made at the first start and kept under ``DATA/pki``, readable by the owner alone. The server's
certificate is made anew when it nears its end, at a start and while the server runs, and when the
server listens under another name.
"""

import contextlib
import dataclasses
import datetime
import ipaddress
import os
import pathlib
import ssl
from collections.abc import Iterator, Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ocisource import errors

FOLDER = "pki"
CA_DAYS = 3650
SERVER_DAYS = 365
RENEW_DAYS = 90  # a server certificate with fewer days left is replaced at the start
_BACKDATED = datetime.timedelta(hours=1)  # for clocks that are a little behind
_ALWAYS = ("localhost", "kubernetes", "kubernetes.default", "127.0.0.1", "::1")

Key = ec.EllipticCurvePrivateKey


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """What the server shows and signs with; ``ca_pem`` is what clients must trust."""

    ca_pem: bytes
    context: ssl.SSLContext = dataclasses.field(repr=False)
    signing_key: Key = dataclasses.field(repr=False)


def load(data_dir: pathlib.Path, *, names: Sequence[str], now: float) -> Identity:
    """Read the identity under a data folder, or make what is missing.

    ``names`` are the host names and addresses the server listens under, ``now`` the time in
    seconds since the epoch. Raises StorageError.
    """
    folder = data_dir / FOLDER
    with _translated(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        ca, certificate = _prepared(folder, names, now)
        signing_key = _key(folder / "sa.key")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        context.load_cert_chain(certificate, folder / "server.key")
    return Identity(ca.public_bytes(serialization.Encoding.PEM), context, signing_key)


def renew(data_dir: pathlib.Path, identity: Identity, *, names: Sequence[str], now: float) -> None:
    """Replace the certificate of a running server when it nears its end.

    Connections that are open keep the old one, new ones are shown the new one. The authority is
    left as it is: clients that trust it would not follow. Raises StorageError.
    """
    folder = data_dir / FOLDER
    with _translated(folder):
        certificate = folder / "server.crt"
        before = certificate.read_bytes()
        ca = x509.load_pem_x509_certificate(identity.ca_pem)
        ca_key = _key(folder / "ca.key")
        if ca_key.public_key() != ca.public_key():
            raise errors.StorageError(f"{folder / 'ca.key'} is not the authority's any more")
        moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
        _server(folder, moment, _wanted(names), ca=ca, ca_key=ca_key)
        if certificate.read_bytes() != before:
            identity.context.load_cert_chain(certificate, folder / "server.key")


def _prepared(
    folder: pathlib.Path, names: Sequence[str], now: float
) -> tuple[x509.Certificate, pathlib.Path]:
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
    ca, ca_key = _authority(folder, moment)
    return ca, _server(folder, moment, _wanted(names), ca=ca, ca_key=ca_key)


def _wanted(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*_ALWAYS, *names)))


@contextlib.contextmanager
def _translated(folder: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # of OpenSSL as well
        raise errors.StorageError(f"cannot prepare {folder}: {error.strerror or error}") from error


@contextlib.contextmanager
def reading(path: pathlib.Path) -> Iterator[None]:
    """Name the file that cannot be understood; raises StorageError."""
    try:
        yield
    except ValueError as error:
        # What cryptography says of it is several lines about itself.
        raise errors.StorageError(
            f"cannot read {path}: it is damaged; put it back from a backup, or remove it to have a "
            "new one made"
        ) from error


def write_private(path: pathlib.Path, data: bytes) -> None:
    """Write a file for the owner alone, all or nothing; raises OSError."""
    temporary = path.with_name(f".{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def _authority(folder: pathlib.Path, now: datetime.datetime) -> tuple[x509.Certificate, Key]:
    key = _key(folder / "ca.key")
    path = folder / "ca.crt"
    if path.exists():
        with reading(path):
            ca = x509.load_pem_x509_certificate(path.read_bytes())
        if _is_valid(ca, now) and ca.public_key() == key.public_key():
            return ca, key
    name = _name("ocisource-ca")
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = _builder(name, name, key, now, days=CA_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    ca = builder.add_extension(usage, critical=True).sign(key, hashes.SHA256())
    write_private(path, ca.public_bytes(serialization.Encoding.PEM))
    return ca, key


def _server(
    folder: pathlib.Path,
    now: datetime.datetime,
    names: Sequence[str],
    *,
    ca: x509.Certificate,
    ca_key: Key,
) -> pathlib.Path:
    path = folder / "server.crt"
    key = _key(folder / "server.key")
    alternative = x509.SubjectAlternativeName([_general(name) for name in names])
    if path.exists() and _is_usable(path, now, alternative, ca=ca, key=key):
        return path
    builder = _builder(_name("ocisource-apiserver"), ca.subject, key, now, days=SERVER_DAYS)
    builder = builder.add_extension(alternative, critical=False)
    builder = builder.add_extension(
        x509.BasicConstraints(ca=False, path_length=None), critical=True
    )
    builder = builder.add_extension(
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
    )
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
    )
    certificate = builder.sign(ca_key, hashes.SHA256())
    write_private(path, certificate.public_bytes(serialization.Encoding.PEM))
    return path


def _is_usable(
    path: pathlib.Path,
    now: datetime.datetime,
    alternative: x509.SubjectAlternativeName,
    *,
    ca: x509.Certificate,
    key: Key,
) -> bool:
    with reading(path):
        held = x509.load_pem_x509_certificate(path.read_bytes())
    shown = held.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    lasts = held.not_valid_after_utc - now > datetime.timedelta(days=RENEW_DAYS)
    try:
        held.verify_directly_issued_by(ca)
    except (ValueError, TypeError, Exception):  # noqa: BLE001 - InvalidSignature is no ValueError
        return False
    return (
        lasts
        and _is_valid(held, now)
        and shown == alternative
        and held.public_key() == key.public_key()
    )


def _is_valid(certificate: x509.Certificate, now: datetime.datetime) -> bool:
    # A clock that is far behind the day it was made on would have clients refuse it.
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc


def _key(path: pathlib.Path) -> Key:
    if path.exists():
        with reading(path):
            key = serialization.load_pem_private_key(path.read_bytes(), password=None)
            if isinstance(key, ec.EllipticCurvePrivateKey):
                return key
            raise ValueError(f"{path.name} is no elliptic curve key")
    made = ec.generate_private_key(ec.SECP256R1())
    pem = made.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    write_private(path, pem)
    return made


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: Key,
    now: datetime.datetime,
    *,
    days: int,
) -> x509.CertificateBuilder:
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(identifier, critical=False)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
