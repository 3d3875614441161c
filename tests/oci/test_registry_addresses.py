"""What a name resolves to is judged too, at the moment of the connection."""

import asyncio
import ipaddress
import socket
import threading
from collections.abc import AsyncIterator, Callable, Mapping

import pytest

from ocisource import digest as digests
from ocisource import errors
from ocisource.net import address as addresses
from ocisource.oci import limits, registry
from ocisource.oci.grammar import manifest, reference
from ocisource.oci.hosts import guard
from ocisource.oci.hosts import names as known_names
from tests.oci.conftest import Remote
from tests.simulators import faults
from tests.simulators.registry import Simulator

Names = Callable[[Mapping[str, list[str]]], None]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """``names({"registry.test": ["127.0.0.1"]})``: what names resolve to from now on."""
    real = socket.getaddrinfo
    known: dict[str, list[str]] = {}

    def look_up(host: str, port: int, *rest: object, **named: object) -> object:
        if host not in known:
            assert host.replace(".", "").isdigit() or host.startswith("0x"), "no real look-ups"
            return real(host, port, *rest, **named)  # type: ignore[arg-type]
        if not known[host]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (address, port, 0, 0) if ":" in address else (address, port),
            )
            for address in known[host]
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return known.update


@pytest.fixture
async def known() -> AsyncIterator[known_names.Names]:
    """Look-ups that end with the test."""
    found = known_names.Names(timeout=600)
    yield found
    await found.close()


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "fe80::1", "fd00:ec2::254", "::ffff:169.254.169.254"]
)
async def test_a_registrys_name_that_leads_to_metadata_is_refused(
    remote: Remote, names: Names, address: str
) -> None:
    """The name is innocent, the address is not."""
    names({"registry.test": [address]})
    with pytest.raises(errors.ForbiddenAddressError, match=r"registry\.test"):
        await remote("registry.test:5000").resolve("1.0")


async def test_a_forbidden_address_among_good_ones_is_passed_over(
    names: Names, known: known_names.Names
) -> None:
    """One bad answer does not shut a registry out, and is not used."""
    names({"registry.test": ["169.254.169.254", "10.0.0.1"]})
    found = guard.Guard("registry.test")
    resolver = guard.Resolver(found, known, role=guard.Role.HOME)
    assert [each["host"] for each in await resolver.resolve("registry.test", 443)] == ["10.0.0.1"]
    await resolver.close()


@pytest.mark.parametrize("role", [guard.Role.ELSEWHERE, guard.Role.REALM])
@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.1.1",
        "169.254.169.254",
        "0.0.0.0",  # noqa: S104 - an address that a name resolves to
        "::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "fd00::1",
        "fe80::1",
        "fd00:ec2::254",
    ],
)
async def test_a_public_registry_cannot_name_a_name_that_leads_inside(
    names: Names, known: known_names.Names, role: guard.Role, address: str
) -> None:
    """A redirect or realm at what only we can reach is refused, whatever it is called."""
    names({"registry.test": ["93.184.216.34"], "inside.test": [address]})
    found = guard.Guard("registry.test")
    await guard.Resolver(found, known, role=guard.Role.HOME).resolve("registry.test", 443)
    resolver = guard.Resolver(found, known, role=role)
    with pytest.raises(errors.ForbiddenAddressError, match=r"inside\.test \(.* of registry\.test"):
        await resolver.resolve("inside.test", 443)


@pytest.mark.parametrize("place", ["realm", "redirect", "url"])
async def test_attack_no_request_goes_inside_for_a_registry_outside(
    simulator: Simulator,
    remote: Remote,
    names: Names,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    """From the challenge, redirect or descriptor to the refusal, with not one request sent."""
    names({"registry.test": ["127.0.0.1"], "inside.test": ["127.0.0.2"]})
    real = addresses.kind_of
    outside = ipaddress.ip_address("127.0.0.1")  # as far as this test is concerned
    monkeypatch.setattr(
        addresses,
        "kind_of",
        lambda each: addresses.Kind.PUBLIC if each == outside else real(each),
    )
    inside = f"http://inside.test:{simulator.port}/inside"
    challenge = f'Bearer realm="{inside}",service="s"'
    simulator.on("*", "/inside", faults.status(200))
    app = remote(f"registry.test:{simulator.port}", access=registry.Access(is_insecure=True))
    if place == "url":
        wanted = manifest.Descriptor("", 1, digests.Digest.of(b"x"), urls=(inside,))
        with pytest.raises(errors.NotFoundError, match="BLOB_UNKNOWN"):
            await anext(app.blob(wanted))
    else:
        fault = (
            faults.status(401, headers={"WWW-Authenticate": challenge})
            if place == "realm"
            else faults.redirect(inside)
        )
        simulator.on("*", "/manifests/", fault)
        with pytest.raises(errors.ForbiddenAddressError, match=r"inside\.test"):
            await app.resolve("1.0")
    assert [each.path for each in simulator.seen if "inside" in each.path] == []


async def test_a_silent_name_server_holds_up_its_own_names_alone(
    simulator: Simulator, remote: Remote, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many objects wait for a dead zone, a registry elsewhere is found at once."""
    simulator.add_image("org/app", "1.0")
    names({"localhost": ["127.0.0.1"]})
    known, go = socket.getaddrinfo, threading.Event()

    def look_up(host: str, *rest: object, **named: object) -> object:
        if host.endswith(".dead.test"):
            go.wait()
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return known(host, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    dead = [
        asyncio.create_task(remote(f"r{number % 20}.dead.test", f"org/{number}").resolve("1.0"))
        for number in range(100)
    ]
    try:
        await asyncio.sleep(0)
        await remote(f"localhost:{simulator.port}").resolve("1.0")
        assert not any(each.done() for each in dead)
    finally:
        go.set()
    found = await asyncio.gather(*dead, return_exceptions=True)
    assert {type(each) for each in found} == {errors.TransportError}


async def test_a_name_server_is_not_waited_for_longer_than_a_connection(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text says what it was that did not answer."""
    go = threading.Event()

    def look_up(*rest: object, **named: object) -> object:
        go.wait()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    registries = registry.Registries(settings=limits.RegistrySettings(connect_timeout=0.01))
    try:
        repository = reference.Repository("silent.test", "org/app")
        with pytest.raises(errors.TransportError, match="lookup: the name server gave no answer"):
            await registries.repository(repository).resolve("1.0")
    finally:
        go.set()
        await registries.close()


async def test_a_registry_on_this_machine_may_redirect_here(
    simulator: Simulator, remote: Remote, names: Names
) -> None:
    """It gains nothing by it that it does not have."""
    names({"storage.test": ["127.0.0.1"]})
    digest = simulator.add_image("org/app", "1.0")
    away = f"http://storage.test:{simulator.port}/v2/org/app/manifests/{digest}"
    simulator.on("HEAD", "/manifests/1.0", faults.redirect(away))
    assert str((await remote(simulator.host).resolve("1.0")).digest) == digest


async def test_a_name_that_does_not_resolve_is_told(remote: Remote, names: Names) -> None:
    """In the words that users know."""
    names({"registry.test": []})
    with pytest.raises(errors.TransportError) as caught:
        await remote("registry.test").resolve("1.0")
    assert str(caught.value) == (
        "HEAD https://registry.test/v2/org/app/manifests/1.0: lookup: no such host"
    )


@pytest.mark.parametrize("host", ["2852039166", "0xa9fea9fe", "169.254.43518"])
async def test_other_spellings_of_an_address_are_no_way_round(
    remote: Remote, names: Names, host: str
) -> None:
    """All of these are 169.254.169.254 to a lenient reader."""
    with pytest.raises(errors.TransportError):
        await remote(f"{host}:80").resolve("1.0")
