"""TLS Secrets become identities that real handshakes accept, or errors that say why not."""

import datetime
import pathlib
import ssl
import subprocess
import sys

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import oid

from ocisource import errors
from ocisource.net import tls
from tests.parts import certificates

SECRET = "apps/tls"


@pytest.fixture(scope="module")
def authority() -> certificates.Authority:
    """The authority of a private registry."""
    return certificates.Authority.create()


@pytest.fixture(scope="module")
def pair(authority: certificates.Authority) -> certificates.Pair:
    """A client certificate."""
    return authority.client("client")


def shake_hands(
    client: ssl.SSLContext, server: ssl.SSLContext, *, name: str = "localhost"
) -> ssl.SSLObject:
    """A handshake in memory; raises ssl.SSLError of whichever side refuses. Gives the client."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = (
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    done: set[int] = set()
    for _ in range(10):
        for number, side in enumerate(sides):
            try:
                side.do_handshake()
                done.add(number)
            except ssl.SSLWantReadError:
                continue
    assert done == {0, 1}
    # Under TLS 1.3 a server refuses a client's certificate after the client is done.
    sides[1].write(b"hello")
    assert sides[0].read(5) == b"hello"
    return sides[0]


def server_context(
    pair: certificates.Pair,
    folder: pathlib.Path,
    *,
    clients: certificates.Authority | None = None,
) -> ssl.SSLContext:
    """A server that shows a certificate and, with ``clients``, wants one."""
    files = pair.write(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=clients.certificate_pem.decode())
    return context


def identity(**data: bytes) -> tls.TLSIdentity:
    """Identity of a Secret whose keys are written with underscores."""
    named = {name.replace("_", "."): value for name, value in data.items()}
    return tls.from_secret_data(named, secret=SECRET)[0]


def test_s_a_private_ca_is_trusted_and_nobody_else_is(
    authority: certificates.Authority, tmp_path: pathlib.Path
) -> None:
    """Acceptance C 7, S: CA only."""
    server = server_context(authority.server(), tmp_path)
    shake_hands(identity(ca_crt=authority.certificate_pem).context(), server)
    other = certificates.Authority.create("another")
    for stranger in (tls.TLSIdentity(), identity(ca_crt=other.certificate_pem)):
        with pytest.raises(ssl.SSLCertVerificationError):
            shake_hands(stranger.context(), server)


def test_s_the_system_roots_stay_beside_the_ca(
    authority: certificates.Authority, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Acceptance S: system pool kept alongside the CA."""
    system = certificates.Authority.create("system")
    monkeypatch.setenv("SSL_CERT_FILE", str(system.write(tmp_path / "system")))
    context = identity(ca_crt=authority.certificate_pem).context()
    shake_hands(context, server_context(system.server(), tmp_path / "a"))
    shake_hands(context, server_context(authority.server(), tmp_path / "b"))


def test_s_mutual_tls_shows_the_client_certificate(
    authority: certificates.Authority, pair: certificates.Pair, tmp_path: pathlib.Path
) -> None:
    """Acceptance C 14: CA, certificate and key; without the certificate the server refuses."""
    server = server_context(authority.server(), tmp_path, clients=authority)
    full = identity(
        ca_crt=authority.certificate_pem, tls_crt=pair.certificate_pem, tls_key=pair.key_pem
    )
    shake_hands(full.context(), server)
    with pytest.raises(ssl.SSLError):
        shake_hands(identity(ca_crt=authority.certificate_pem).context(), server)


def test_insecure_takes_any_certificate(
    authority: certificates.Authority, tmp_path: pathlib.Path
) -> None:
    """``insecure`` without a certSecretRef: neither issuer nor name nor date count."""
    server = server_context(authority.server("elsewhere.example", is_expired=True), tmp_path)
    shake_hands(tls.TLSIdentity().context(is_verified=False), server)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(identity(ca_crt=authority.certificate_pem).context(), server)


def test_a_name_that_does_not_match_is_refused(
    authority: certificates.Authority, tmp_path: pathlib.Path
) -> None:
    """Trusting an authority does not mean any name of it."""
    server = server_context(authority.server("elsewhere.example"), tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake_hands(identity(ca_crt=authority.certificate_pem).context(), server)


def self_signed(*names: str) -> certificates.Pair:
    """A home-made server certificate: no key identifiers, no usages; names only as SAN."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(oid.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder(subject, subject, key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
    )
    if names:
        alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(alternatives, critical=False)
    return certificates.Pair(
        builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        ),
    )


def test_a_servers_own_certificate_serves_as_ca(tmp_path: pathlib.Path) -> None:
    """As in Go: what is given as CA is an anchor, whatever extensions it lacks."""
    own = self_signed("localhost")
    shake_hands(identity(ca_crt=own.certificate_pem).context(), server_context(own, tmp_path))


def test_common_names_do_not_count(tmp_path: pathlib.Path) -> None:
    """As in Go: a certificate without subjectAltName names nobody."""
    own = self_signed()
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(identity(ca_crt=own.certificate_pem).context(), server_context(own, tmp_path))


def test_s_a_pair_without_a_ca_is_enough(pair: certificates.Pair) -> None:
    """Acceptance S: standard keys, with and without CA."""
    found, legacy = tls.from_secret_data(
        {"tls.crt": pair.certificate_pem, "tls.key": pair.key_pem}, secret=SECRET
    )
    assert found == tls.TLSIdentity(None, pair.certificate_pem, pair.key_pem)
    assert legacy == ()


def test_s_legacy_keys_are_read_and_reported(
    authority: certificates.Authority, pair: certificates.Pair
) -> None:
    """Acceptance S, C 8: one log line for each legacy key that was used."""
    found, legacy = tls.from_secret_data(
        {
            "certFile": pair.certificate_pem,
            "keyFile": pair.key_pem,
            "caFile": authority.certificate_pem,
        },
        secret=SECRET,
    )
    assert found == tls.TLSIdentity(authority.certificate_pem, pair.certificate_pem, pair.key_pem)
    assert legacy == ("certFile", "keyFile", "caFile")
    only_ca = tls.from_secret_data({"caFile": authority.certificate_pem}, secret=SECRET)
    assert only_ca[1] == ("caFile",)


def test_s_standard_keys_beat_legacy_ones(
    authority: certificates.Authority, pair: certificates.Pair
) -> None:
    """Acceptance S, C 11: a broken legacy value beside a good standard one does not matter."""
    data = {
        "tls.crt": pair.certificate_pem,
        "tls.key": pair.key_pem,
        "ca.crt": authority.certificate_pem,
        "certFile": b"garbage",
        "keyFile": b"garbage",
        "caFile": b"garbage",
    }
    assert tls.from_secret_data(data, secret=SECRET)[1] == ()


CERTIFICATE = self_signed("x")
OTHER = self_signed("x")
RSA_KEY = rsa.generate_private_key(65537, 2048)
MUST = f"secret '{SECRET}' must contain either 'ca.crt' or both 'tls.crt' and 'tls.key'"
CA = "failed to parse CA certificate: "
PAIR = "failed to parse TLS certificate and key: "


def pem(label: str) -> bytes:
    """A PEM block of another type."""
    return f"-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n".encode()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        pytest.param({}, MUST, id="S-nothing"),
        pytest.param({"other": b"x"}, MUST, id="S-nothing-usable"),
        pytest.param({"ca.crt": b""}, MUST, id="empty-counts-as-missing"),
        pytest.param(
            {"tls.crt": CERTIFICATE.certificate_pem},
            f"secret '{SECRET}' contains 'tls.crt' but missing 'tls.key'",
            id="S-cert-without-key",
        ),
        pytest.param(
            {"tls.key": CERTIFICATE.key_pem, "ca.crt": CERTIFICATE.certificate_pem},
            f"secret '{SECRET}' contains 'tls.key' but missing 'tls.crt'",
            id="S-key-without-cert",
        ),
        pytest.param(
            {"certFile": CERTIFICATE.certificate_pem},
            f"secret '{SECRET}' contains 'certFile' but missing 'tls.key'",
            id="legacy-cert-without-key",
        ),
        pytest.param(
            {
                "tls.crt": b"",
                "certFile": CERTIFICATE.certificate_pem,
                "tls.key": CERTIFICATE.key_pem,
            },
            f"secret '{SECRET}' contains 'tls.key' but missing 'tls.crt'",
            id="an-empty-key-blocks-the-fall-back",
        ),
        pytest.param(
            {"ca.crt": b"invalid"},
            f"{CA}no PEM data, which begins with -----BEGIN CERTIFICATE----- "
            f"(secret '{SECRET}', key 'ca.crt')",
            id="C10",
        ),
        pytest.param(
            {"ca.crt": CERTIFICATE.key_pem},
            f"{CA}PEM data of type EC PRIVATE KEY rather than CERTIFICATE "
            f"(secret '{SECRET}', key 'ca.crt')",
            id="CA-is-a-key",
        ),
        pytest.param(
            {"caFile": pem("CERTIFICATE")},
            f"{CA}its certificate is damaged; copy the whole file again "
            f"(secret '{SECRET}', key 'caFile')",
            id="CA-is-malformed",
        ),
        pytest.param(
            {"tls.crt": CERTIFICATE.certificate_pem, "tls.key": b"invalid-key"},
            f"{PAIR}tls: failed to find any PEM data in key input",
            id="C16",
        ),
        pytest.param(
            {"tls.crt": b"invalid", "tls.key": CERTIFICATE.key_pem},
            f"{PAIR}tls: failed to find any PEM data in certificate input",
            id="certificate-is-no-PEM",
        ),
        pytest.param(
            {"tls.crt": CERTIFICATE.certificate_pem, "tls.key": OTHER.key_pem},
            f"{PAIR}tls: private key does not match public key",
            id="S-bad-pair",
        ),
        pytest.param(
            {
                "tls.crt": CERTIFICATE.certificate_pem,
                "tls.key": RSA_KEY.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                ),
            },
            f"{PAIR}tls: private key does not match public key",
            id="other-kind-of-key",
        ),
        pytest.param(
            {"tls.crt": CERTIFICATE.key_pem, "tls.key": CERTIFICATE.certificate_pem},
            f"{PAIR}tls: failed to find certificate PEM data in certificate input, but did find a "
            "private key; PEM inputs may have been switched",
            id="switched",
        ),
        pytest.param(
            {"tls.crt": CERTIFICATE.certificate_pem, "tls.key": CERTIFICATE.certificate_pem},
            f"{PAIR}tls: found a certificate rather than a key in the PEM for the private key",
            id="certificate-twice",
        ),
        pytest.param(
            {"tls.crt": pem("X509 CRL"), "tls.key": CERTIFICATE.key_pem},
            f'{PAIR}tls: failed to find "CERTIFICATE" PEM block in certificate input after '
            "skipping PEM blocks of the following types: [X509 CRL]",
            id="certificate-of-another-type",
        ),
        pytest.param(
            {"tls.crt": CERTIFICATE.certificate_pem, "tls.key": pem("X509 CRL")},
            f'{PAIR}tls: failed to find PEM block with type ending in "PRIVATE KEY" in key input '
            "after skipping PEM blocks of the following types: [X509 CRL]",
            id="key-of-another-type",
        ),
        pytest.param(
            {"tls.crt": CERTIFICATE.certificate_pem, "tls.key": pem("PRIVATE KEY")},
            f"{PAIR}tls: failed to parse private key",
            id="key-is-malformed",
        ),
        pytest.param(
            {"tls.crt": pem("CERTIFICATE"), "tls.key": CERTIFICATE.key_pem},
            f"{PAIR}x509: malformed certificate",
            id="certificate-is-malformed",
        ),
        pytest.param(
            {
                "tls.crt": CERTIFICATE.certificate_pem,
                "tls.key": RSA_KEY.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.BestAvailableEncryption(b"password"),
                ),
            },
            f"{PAIR}tls: private key is encrypted; store it without a password",
            id="key-is-encrypted",
        ),
    ],
)
def test_s_secrets_that_cannot_be_used(data: dict[str, bytes], text: str) -> None:
    """Acceptance S, C 10 and 16: the texts, and no byte of a key in them."""
    with pytest.raises(errors.CredentialError) as caught:
        tls.from_secret_data(data, secret=SECRET)
    where = f" (secret '{SECRET}', keys 'tls.crt' and 'tls.key')" if text.startswith(PAIR) else ""
    assert str(caught.value) == text + where


def test_other_blocks_around_the_wanted_ones_are_passed_over(
    authority: certificates.Authority, pair: certificates.Pair
) -> None:
    """Bundles carry comments, parameters and chains; one bad CA does not spoil the others."""
    noise = b"# a comment\n" + pem("EC PARAMETERS")
    chain = pair.certificate_pem + authority.certificate_pem
    bundle = noise + pem("CERTIFICATE") + authority.certificate_pem
    identity(tls_crt=noise + chain, tls_key=noise + pair.key_pem, ca_crt=bundle)


@pytest.mark.parametrize(
    "noise",
    [
        b"-----BEGIN ",
        b"-----END ",
        b"-----BEGIN CERTIFICATE-----\n",
        b"-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END KEY-----\n",
        b"-----BEGIN -----END ",
    ],
)
def test_attack_a_secret_full_of_headers_costs_no_more_than_its_length(
    authority: certificates.Authority, noise: bytes
) -> None:
    """A megabyte of unfinished blocks hides no good one after them, and ends at once."""
    flood = noise * (1024 * 1024 // len(noise))
    with pytest.raises(errors.CredentialError, match="failed to parse CA certificate"):
        identity(ca_crt=flood)
    identity(ca_crt=flood + b"\n" + authority.certificate_pem)


def test_no_repr_shows_a_key(pair: certificates.Pair) -> None:
    """Neither key nor certificate is printed."""
    found = identity(tls_crt=pair.certificate_pem, tls_key=pair.key_pem)
    for text in (repr(found), str(found), f"{[found]}"):
        assert "BEGIN" not in text
        assert "has_certificate=True" in text


def test_identities_are_equal_by_content(pair: certificates.Pair) -> None:
    """Pools are keyed by identity."""
    one = tls.TLSIdentity(None, pair.certificate_pem, pair.key_pem)
    assert {one: 1}[tls.TLSIdentity(None, pair.certificate_pem, pair.key_pem)] == 1
    assert one != tls.TLSIdentity()


def test_a_key_leaves_no_file_behind(
    pair: certificates.Pair, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With and without memory files, nothing stays on disk."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = tls.TLSIdentity(None, pair.certificate_pem, pair.key_pem)
    found.context()
    monkeypatch.delattr("os.memfd_create")
    found.context()
    assert list(tmp_path.iterdir()) == []


def test_the_library_for_client_certificates_is_loaded_when_there_is_one(
    authority: certificates.Authority,
) -> None:
    """A controller of thousands of objects does not carry 9 MB for what it never uses."""
    script = (
        "import sys; from ocisource import serve; from ocisource.net import tls; "
        "tls.TLSIdentity(ca_pem=sys.stdin.buffer.read()).context(has_system_roots=False); "
        "print('cryptography' in sys.modules)"
    )
    told = subprocess.run(
        [sys.executable, "-c", script],
        input=authority.certificate_pem,
        capture_output=True,
        check=True,
    )
    assert told.stdout == b"False\n"
