"""Proxies of Secrets and of the environment."""

import contextlib

import hypothesis
import pytest
from hypothesis import strategies

from ocisource import errors
from ocisource.net import proxy
from ocisource.net.proxy import Proxy
from tests.parts import fuzz

SECRET = "apps/proxy"
SCHEMES = "proxy URL must use one of the supported schemes (http, https, socks5), got "


def of(address: str, username: str = "", password: str = "") -> Proxy:
    """Proxy of a Secret."""
    data = {"address": address, "username": username, "password": password}
    encoded = {name: value.encode() for name, value in data.items()}
    return proxy.from_secret_data(encoded, secret=SECRET)


@pytest.mark.parametrize(
    ("address", "username", "password", "url"),
    [
        pytest.param(
            "http://p.io:3128", "u", "p", "http://u:p@p.io:3128", id="S-user-and-password"
        ),
        pytest.param("http://p.io:3128", "u", "", "http://u@p.io:3128", id="S-user-only"),
        pytest.param("http://p.io:3128", "", "", "http://p.io:3128", id="S-without"),
        pytest.param("http://p.io", "", "p", "http://p.io:80", id="password-needs-a-user"),
        pytest.param("https://p.io", "", "", "https://p.io:443", id="S-https"),
        pytest.param("socks5://p.io", "", "", "socks5://p.io:1080", id="S-socks5"),
        pytest.param("socks5://p.io:1", "u", "p@:/", "socks5://u:p%40%3A%2F@p.io:1", id="S-auth"),
        pytest.param("HTTP://P.io:3128/", "", "", "http://p.io:3128", id="normalised"),
        pytest.param("http://a:b%40@p.io:3128", "", "", "http://a:b%40@p.io:3128", id="userinfo"),
        pytest.param("http://a:b@p.io:3128", "u", "p", "http://u:p@p.io:3128", id="keys-beat-it"),
        pytest.param("http://[::1]:3128", "", "", "http://[::1]:3128", id="IPv6"),
        pytest.param("http://p.io:3128\n", "u\n", "p\n", "http://u:p@p.io:3128", id="newline"),
    ],
)
def test_s_addresses_that_are_proxies(address: str, username: str, password: str, url: str) -> None:
    """Acceptance S: address with and without credentials, all three schemes."""
    found = of(address, username, password)
    assert found.url_with_credentials == url
    assert "@" not in found.address
    assert found.scheme in proxy.SCHEMES
    assert f"{found.host}:{found.port}" == found.address.partition("://")[2].replace("[::1]", "::1")


LONG = "http://p.io/" + "a" * (2048 - 12)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        pytest.param("", "proxy address is empty", id="S-empty"),
        pytest.param("ftp://p.io", f"{SCHEMES}'ftp'", id="S-ftp"),
        pytest.param("socks4://p.io", f"{SCHEMES}'socks4'", id="S-socks4"),
        pytest.param("p.io", f"{SCHEMES}''", id="S-no-scheme"),
        pytest.param("p.io:3128", f"{SCHEMES}'p.io'", id="S-no-scheme-with-port"),
        pytest.param(
            LONG + "a", "proxy URL exceeds maximum length of 2048 characters", id="S-2049"
        ),
        pytest.param(
            "10.0.0.1:3128",
            "failed to parse proxy address '10.0.0.1:3128': "
            "first path segment in URL cannot contain colon",
            id="S-unparsable",
        ),
        pytest.param(
            "http://p.io:port",
            "failed to parse proxy address 'http://p.io:port': invalid host or port",
            id="S-unparsable-port",
        ),
        pytest.param(
            "http://[::1",
            "failed to parse proxy address 'http://[::1': invalid host or port",
            id="unclosed-bracket",
        ),
        pytest.param(
            "http://p .io",
            "failed to parse proxy address 'http://p .io': "
            "invalid control character or space in URL",
            id="space",
        ),
        pytest.param(
            "http:p.io",
            "failed to parse proxy address 'http:p.io': no host in URL",
            id="no-slashes",
        ),
        pytest.param(
            "http://", "failed to parse proxy address 'http://': no host in URL", id="no-host"
        ),
    ],
)
def test_s_addresses_that_are_refused(address: str, text: str) -> None:
    """Acceptance S: the texts, naming the Secret."""
    with pytest.raises(errors.CredentialError) as caught:
        of(address)
    assert str(caught.value) == f"secret '{SECRET}': {text}"


def test_s_exactly_2048_characters_are_fine() -> None:
    """Acceptance S: the bound is inclusive."""
    assert of(LONG).host == "p.io"


def test_s_the_address_key_must_be_there() -> None:
    """Acceptance S: missing address; and values that are no text."""
    with pytest.raises(errors.CredentialError) as caught:
        proxy.from_secret_data({"username": b"u"}, secret=SECRET)
    assert str(caught.value) == f"secret '{SECRET}': key 'address' not found"
    with pytest.raises(errors.CredentialError, match="not UTF-8"):
        proxy.from_secret_data({"address": b"http://\xff"}, secret=SECRET)


@pytest.mark.parametrize("address", ["http://u:hunter2@p.io:port", "http://u:hunter2@p .io"])
def test_no_password_is_shown(address: str) -> None:
    """Neither in an error nor in a repr."""
    with pytest.raises(errors.CredentialError) as caught:
        of(address)
    assert "hunter2" not in str(caught.value)
    found = of("http://p.io:1", "alice", "hunter2")
    for text in (repr(found), str(found), f"{[found]}"):
        assert text.strip("[]") == "Proxy('http://p.io:1', has_credentials=True)"


P = "http://p.io:3128"
S = "http://s.io:3128"


@pytest.mark.parametrize(
    ("url", "environ", "expected"),
    [
        ("https://ghcr.io/v2/", {}, None),
        ("https://ghcr.io/v2/", {"HTTPS_PROXY": P}, P),
        ("https://ghcr.io/v2/", {"https_proxy": P}, P),
        ("https://ghcr.io/v2/", {"HTTPS_PROXY": P, "https_proxy": S}, P),
        ("https://ghcr.io/v2/", {"HTTP_PROXY": P}, None),
        ("http://ghcr.io/v2/", {"HTTP_PROXY": P, "HTTPS_PROXY": S}, P),
        ("http://ghcr.io/v2/", {"HTTP_PROXY": P, "REQUEST_METHOD": "GET"}, None),
        ("https://ghcr.io/v2/", {"HTTPS_PROXY": P, "REQUEST_METHOD": "GET"}, P),
        ("https://ghcr.io/v2/", {"ALL_PROXY": P}, None),
        ("https://ghcr.io/v2/", {"HTTPS_PROXY": "p.io:3128"}, P),
        ("https://ghcr.io/v2/", {"HTTPS_PROXY": "socks5h://p.io:1"}, "socks5://p.io:1"),
        ("https://localhost:5000/v2/", {"HTTPS_PROXY": P}, None),
        ("http://127.0.0.1:5000/v2/", {"HTTP_PROXY": P}, None),
        ("http://[::1]:5000/v2/", {"HTTP_PROXY": P}, None),
    ],
)
def test_the_environment_names_proxies(
    url: str, environ: dict[str, str], expected: str | None
) -> None:
    """The rules of Go's httpproxy package, which the users' other tools follow."""
    found = proxy.from_environment(url, environ=environ)
    assert (found.address if found else None) == expected


@pytest.mark.parametrize(
    ("no_proxy", "host", "is_direct"),
    [
        ("*", "ghcr.io", True),
        ("ghcr.io", "ghcr.io", True),
        ("ghcr.io", "GHCR.io", True),
        ("ghcr.io", "sub.ghcr.io", True),
        ("ghcr.io", "xghcr.io", False),
        (".ghcr.io", "ghcr.io", False),
        (".ghcr.io", "sub.ghcr.io", True),
        ("*.ghcr.io", "sub.ghcr.io", True),
        ("*.ghcr.io", "ghcr.io", False),
        ("ghcr.io:443", "ghcr.io", True),
        ("ghcr.io:8443", "ghcr.io", False),
        ("ghcr.io:8443", "ghcr.io:8443", True),
        ("a.io, ,ghcr.io", "ghcr.io", True),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/8", "ten.example", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3:443", "10.1.2.3", True),
        ("10.1.2.3:444", "10.1.2.3", False),
        ("fd00::/8", "[fd00::1]", True),
        ("fd00::1", "[fd00::1]", True),
        ("[fd00::1]:443", "[fd00::1]", True),
        ("not/a/network,a:b:c,x:port", "ghcr.io", False),
        ("not/a/network", "8.8.8.8", False),
    ],
)
def test_no_proxy_takes_hosts_out(no_proxy: str, host: str, *, is_direct: bool) -> None:
    """Names, suffixes, addresses and networks, with and without a port."""
    environ = {"HTTPS_PROXY": P, "NO_PROXY": no_proxy}
    found = proxy.from_environment(f"https://{host}/v2/", environ=environ)
    assert (found is None) is is_direct


def test_a_variable_that_names_no_proxy_is_an_error() -> None:
    """The message names the variable, not what may be a password in it."""
    with pytest.raises(
        errors.CredentialError, match=r"^environment variable HTTPS_PROXY: "
    ) as error:
        proxy.from_environment("https://ghcr.io", environ={"HTTPS_PROXY": "ftp://u:hunter2@p.io"})
    assert "hunter2" not in str(error.value)


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an explicit environment the process's own counts."""
    monkeypatch.setenv("HTTPS_PROXY", P)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert proxy.from_environment("https://ghcr.io") == Proxy(P)


@fuzz.counted()
@hypothesis.given(
    address=strategies.one_of(
        strategies.text(), strategies.text().map(lambda text: f"http://{text}")
    ),
    no_proxy=strategies.text(alphabet="a.:/[]*,0123456789"),
)
def test_any_address_is_a_proxy_or_our_error(address: str, no_proxy: str) -> None:
    """Fuzz: addresses, and lists of exceptions."""
    with contextlib.suppress(errors.CredentialError):
        found = Proxy.parse(address)
        assert found.host
        assert 0 < found.port < 65536
    with contextlib.suppress(errors.CredentialError):
        environ = {"HTTPS_PROXY": address, "NO_PROXY": no_proxy}
        proxy.from_environment("https://ghcr.io/v2/", environ=environ)
