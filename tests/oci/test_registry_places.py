"""Where an answer may send us: the rules on URLs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocisource import errors
from ocisource.oci.hosts import guard, places


@pytest.mark.parametrize(
    ("url", "location", "target"),
    [
        ("https://r.io/v2/x", "/v2/y", "https://r.io/v2/y"),
        ("https://r.io/v2/x", "//s3.io/b?sig=%2F", "https://s3.io/b?sig=%2F"),
        ("https://r.io/v2/x", "https://s3.io/b#f", "https://s3.io/b"),
        ("http://r.io/v2/x", "https://s3.io/b", "https://s3.io/b"),
        ("http://r.io/v2/x", "http://s3.io/b", "http://s3.io/b"),
    ],
)
def test_redirects_lead_where_they_may(url: str, location: str, target: str) -> None:
    """Relative and absolute targets; what is quoted stays quoted."""
    assert places.redirect_target(url, location) == target


@pytest.mark.parametrize(
    "location",
    ["http://s3.io/b", "ftp://s3.io/b", "file:///etc/passwd", "https://u:p@s3.io/b", "data:,x"],
)
def test_redirects_do_not_lead_where_they_must_not(location: str) -> None:
    """No https to http, no other scheme, no user; and the text holds no password."""
    with pytest.raises(errors.ForbiddenAddressError) as caught:
        places.redirect_target("https://r.io/v2/x", location)
    assert "u:p" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "location", "target"),
    [
        ("https://r.io:8443/v2/u/", "http://r.io/v2/u/1?s=2", "https://r.io:8443/v2/u/1?s=2"),
        ("https://r.io/v2/u/", "http://r.io:80/v2/u/1", "https://r.io/v2/u/1"),
        ("https://r.io/v2/u/", "/v2/u/1", "https://r.io/v2/u/1"),
        ("https://r.io/v2/u/", "https://up.io/v2/u/1", "https://up.io/v2/u/1"),
        ("https://r.io/v2/u/", "https://r.io:9/v2/u/1", "https://r.io:9/v2/u/1"),
    ],
)
def test_a_location_on_the_registry_is_reached_as_the_registry_is(
    url: str, location: str, target: str
) -> None:
    """A registry behind a proxy that speaks TLS for it names itself as it sees itself."""
    assert places.location(url, location) == target


@pytest.mark.parametrize("location", ["http://other.io/v2/u/1", "http://r.io:9/v2/u/1"])
def test_a_location_elsewhere_is_not_reached_in_the_clear(location: str) -> None:
    """GHSA-jxpm-75mh-9fp7: another host or port is another place."""
    with pytest.raises(errors.ForbiddenAddressError):
        places.location("https://r.io/v2/u/", location)


@pytest.mark.parametrize(
    ("registry", "realm"),
    [
        ("https://r.io", "https://auth.io/token?x=1"),
        ("http://r.io", "http://auth.io/token"),
        ("http://r.io", "https://auth.io/token"),
    ],
)
def test_usual_realms_are_asked(registry: str, realm: str) -> None:
    """TLS always, plain HTTP for a registry over http."""
    places.check_realm(realm, registry=registry)


@pytest.mark.parametrize(
    "realm", ["http://auth.io/token", "ftp://auth.io", "", "token", "https://u@auth.io/"]
)
def test_unusual_realms_are_not_asked(realm: str) -> None:
    """Everything else of an https registry."""
    with pytest.raises(errors.ForbiddenAddressError, match=r"r\.io names a realm"):
        places.check_realm(realm, registry="https://r.io")


@pytest.mark.parametrize("url", ["http://10.1.2.3:5000", "http://registry.example.com/token"])
def test_credentials_stay_out_of_plain_http(url: str) -> None:
    """Even on a private network they need `insecure`."""
    with pytest.raises(errors.CredentialError, match="over plain HTTP; set insecure"):
        places.check_clear(url, is_insecure=False)
    places.check_clear(url, is_insecure=True)


@pytest.mark.parametrize(
    "url", ["https://10.1.2.3:5000", "http://localhost:5000", "http://127.0.0.9", "http://[::1]:5"]
)
def test_credentials_go_over_tls_and_on_this_machine(url: str) -> None:
    """Nobody else listens there."""
    places.check_clear(url, is_insecure=False)


@given(st.text(), st.sampled_from(["https://r.io/v2/", "http://10.0.0.1:5000/v2/"]))
def test_no_text_breaks_the_rules(text: str, url: str) -> None:
    """Whatever a registry names: an allowed place or one of our errors."""
    for rule in (places.redirect_target, places.location):
        try:
            target = rule(url, text)
        except (errors.ForbiddenAddressError, errors.TransportError):
            continue
        assert target.startswith("https://" if url.startswith("https:") else "http")
    try:
        places.check_realm(text, registry=url)
    except errors.ForbiddenAddressError:
        return
    assert places.origin_of(text)[1]


def test_the_registrys_kind_only_gets_less_privileged() -> None:
    """One answer of its DNS does not open a private network."""
    found = guard.Guard("registry.example.com")
    found.note(["10.0.0.1"])
    found.check_address("10.0.0.2", host="storage", role=guard.Role.ELSEWHERE)
    found.note(["93.184.216.34"])
    with pytest.raises(errors.ForbiddenAddressError):
        found.check_address("10.0.0.2", host="storage", role=guard.Role.ELSEWHERE)
    found.note(["10.0.0.1"])
    with pytest.raises(errors.ForbiddenAddressError):
        found.check_address("10.0.0.2", host="storage", role=guard.Role.ELSEWHERE)


@pytest.mark.parametrize("role", list(guard.Role))
@pytest.mark.parametrize("address", ["169.254.169.254", "fd00:ec2::254", "224.0.0.1"])
def test_metadata_services_are_for_nobody(role: guard.Role, address: str) -> None:
    """Not as a registry, a realm, a redirect target or a proxy."""
    found = guard.Guard("127.0.0.1:5000")
    with pytest.raises(errors.ForbiddenAddressError, match=r"metadata|unusable"):
        found.check_address(address, host="name", role=role)


@pytest.mark.parametrize("role", [guard.Role.REALM, guard.Role.ELSEWHERE])
@pytest.mark.parametrize(
    ("registry", "target", "is_allowed"),
    [
        ("ghcr.io", "10.0.0.1", False),
        ("ghcr.io", "127.0.0.1", False),
        ("ghcr.io", "localhost", False),
        ("ghcr.io", "93.184.216.34", True),
        ("93.184.216.34:5000", "192.168.0.1", False),
        ("10.0.0.1:5000", "192.168.0.1", True),
        ("10.0.0.1:5000", "127.0.0.1", False),
        ("127.0.0.1:5000", "127.0.0.1", True),
        ("127.0.0.1:5000", "10.0.0.1", True),
        ("[::1]:5000", "[::1]", True),
    ],
)
def test_private_places_are_for_private_registries(
    role: guard.Role, registry: str, target: str, is_allowed: bool
) -> None:
    """A realm or redirect may lead into a network only if the registry is in one itself."""
    found = guard.Guard(registry)
    if is_allowed:
        found.check_host(target.strip("[]"), role=role)
        return
    with pytest.raises(errors.ForbiddenAddressError, match=f"{role.value} of"):
        found.check_host(target, role=role)
