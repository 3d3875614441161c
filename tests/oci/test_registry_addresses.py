"""What a name resolves to is judged too, at the moment of the connection."""

import socket
from collections.abc import Callable, Mapping

import pytest

from ocisource import errors
from ocisource.oci import guard
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
    names: Names,
) -> None:
    """One bad answer does not shut a registry out, and is not used."""
    names({"registry.test": ["169.254.169.254", "10.0.0.1"]})
    found = guard.Guard("registry.test")
    resolver = guard.Resolver(found, role=guard.Role.HOME)
    assert [each["host"] for each in await resolver.resolve("registry.test", 443)] == ["10.0.0.1"]
    await resolver.close()


async def test_a_redirect_to_a_name_on_this_machine_is_refused(
    simulator: Simulator, remote: Remote, names: Names
) -> None:
    """A public registry cannot point at what only we can reach, by whatever name."""
    names({"registry.test": ["93.184.216.34"], "storage.test": ["127.0.0.1"]})
    found = guard.Guard("registry.test")
    found.note(["93.184.216.34"])
    resolver = guard.Resolver(found, role=guard.Role.ELSEWHERE)
    with pytest.raises(errors.ForbiddenAddressError, match=r"storage\.test \(redirect of"):
        await resolver.resolve("storage.test", simulator.port)
    await resolver.close()


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
