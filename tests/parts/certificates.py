"""A certificate authority for tests, with server and client certificates.

Example::

    authority = certificates.Authority.create()
    server = authority.server("127.0.0.1", "localhost").write(tmp_path / "server")
"""

import dataclasses
import datetime
import ipaddress
import pathlib
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import oid

_DAY = datetime.timedelta(days=1)


@dataclasses.dataclass(frozen=True, slots=True)
class Files:
    """A certificate and its key as files."""

    certificate: pathlib.Path
    key: pathlib.Path


@dataclasses.dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key as PEM."""

    certificate_pem: bytes
    key_pem: bytes

    def write(self, folder: pathlib.Path) -> Files:
        """Write ``tls.crt`` and ``tls.key`` into the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        files = Files(folder / "tls.crt", folder / "tls.key")
        files.certificate.write_bytes(self.certificate_pem)
        files.key.touch(mode=0o600)
        files.key.write_bytes(self.key_pem)
        return files


@dataclasses.dataclass(frozen=True, slots=True)
class Authority:
    """A self-signed certificate authority."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def create(cls, name: str = "ocisource test authority") -> Self:
        """A new authority, valid for a day."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(name)
        public = key.public_key()
        builder = _builder(subject, subject, public, is_expired=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        builder = builder.add_extension(_usage(is_authority=True), True)
        identifier = x509.SubjectKeyIdentifier.from_public_key(public)
        builder = builder.add_extension(identifier, False)
        return cls(builder.sign(key, hashes.SHA256()), key)

    @property
    def certificate_pem(self) -> bytes:
        """The authority's own certificate: what a client must trust."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def write(self, folder: pathlib.Path) -> pathlib.Path:
        """Write ``ca.crt`` into the folder and return its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "ca.crt"
        path.write_bytes(self.certificate_pem)
        return path

    def server(self, *names: str, is_expired: bool = False) -> Pair:
        """A server's certificate for host names and IP addresses (loopback when none)."""
        wanted = names or ("127.0.0.1", "localhost")
        purpose = oid.ExtendedKeyUsageOID.SERVER_AUTH
        return self._issue(wanted[0], purpose, wanted, is_expired=is_expired)

    def client(self, name: str = "client", *, is_expired: bool = False) -> Pair:
        """A client's certificate with this common name."""
        return self._issue(name, oid.ExtendedKeyUsageOID.CLIENT_AUTH, (), is_expired=is_expired)

    def _issue(
        self,
        name: str,
        purpose: x509.ObjectIdentifier,
        alternatives: tuple[str, ...],
        *,
        is_expired: bool,
    ) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key()
        builder = _builder(_name(name), self.certificate.subject, public, is_expired=is_expired)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        builder = builder.add_extension(_usage(is_authority=False), True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = builder.add_extension(issuer, False)
        if alternatives:
            general = x509.SubjectAlternativeName([_general_name(each) for each in alternatives])
            builder = builder.add_extension(general, False)
        certificate = builder.sign(self.key, hashes.SHA256())
        return Pair(
            certificate.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    *,
    is_expired: bool,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    first, last = (now - 3 * _DAY, now - _DAY) if is_expired else (now - _DAY, now + _DAY)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(first)
        .not_valid_after(last)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid.NameOID.COMMON_NAME, common_name)])


def _general_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
