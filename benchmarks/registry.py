"""Checks of a registry: requests per check, and CPU against a bare aiohttp HEAD.

nginx on loopback is the registry: it wants a bearer token, and answers every manifest. The floor is
aiohttp itself, with the same connection settings, headers and concurrency, in the same process.
Both take turns in short blocks, so that whatever else the machine does meets both alike; the ratio
is that of all the CPU each has used, and the quartiles over the pairs of blocks tell how far to
trust it. It is measured with Python's own threshold of the garbage collector (700) and with 10 000:
64 checks in lock-step make enough objects at once to set a collector off that finds nothing.

    python -m benchmarks.registry [--checks 10000] [--rounds 20]
"""

import argparse
import asyncio
import gc
import pathlib
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable

import aiohttp

from ocisource.net.tls import TLSIdentity
from ocisource.oci import limits, registry
from ocisource.oci.authentication import credentials
from ocisource.oci.grammar import manifest, reference
from tests.parts import certificates, nginx

CONCURRENCY = 64
_WARM_UP = 500  # checks before each measurement
_HIGH_THRESHOLD = 10_000  # new objects before the garbage collector looks at them
_TEXT = """
keepalive_requests 1000000;
map $http_authorization $is_let_in { default 0; "Bearer good-token" 1; }
server {
  listen 127.0.0.1:@PORT0@;
  listen 127.0.0.1:@PORT1@ ssl;
  ssl_certificate %(certificate)s;
  ssl_certificate_key %(key)s;
  location = /token {
    default_type application/json;
    return 200 '{"token":"good-token","expires_in":3600}';
  }
  location / {
    if ($is_let_in = 0) {
      add_header WWW-Authenticate 'Bearer realm="$scheme://$http_host/token",service="nginx"'
        always;
      return 401;
    }
    default_type application/vnd.oci.image.manifest.v1+json;
    add_header Docker-Content-Digest sha256:%(hex)s;
    return 200 '{}';
  }
}
"""

Check = Callable[[int], Awaitable[object]]


async def _measure(check: Check, count: int) -> tuple[float, float]:
    """CPU microseconds per check, and checks per second, at the concurrency."""
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            await check(number)

    usage = resource.getrusage(resource.RUSAGE_SELF)
    start = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(CONCURRENCY)))
    seconds = time.perf_counter() - start
    now = resource.getrusage(resource.RUSAGE_SELF)
    cpu = now.ru_utime + now.ru_stime - usage.ru_utime - usage.ru_stime
    return cpu / count * 1e6, count / seconds


async def _compare(scheme: str, host: str, authority: bytes, *, checks: int, rounds: int) -> None:
    settings = limits.DEFAULT
    identity = TLSIdentity(ca_pem=authority) if scheme == "https" else None
    access = registry.Access(
        keychain=credentials.StaticKeychain(credentials.Credential("alice", "s3cret")),
        tls=identity,
    )
    registries = registry.Registries(settings=settings)
    headers = {
        "Accept": ", ".join(manifest.ACCEPT),
        "Authorization": "Bearer good-token",
        "User-Agent": limits.USER_AGENT,
        "Accept-Encoding": "identity",
    }
    connector = aiohttp.TCPConnector(
        ssl=(identity or TLSIdentity()).context(),
        limit=settings.connections,
        keepalive_timeout=settings.keepalive,
    )
    timeout = aiohttp.ClientTimeout(
        total=None, sock_connect=settings.connect_timeout, sock_read=settings.read_timeout
    )
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    ) as session:

        async def bare(number: int) -> None:
            url = f"{scheme}://{host}/v2/org/app/manifests/v{number}"
            async with session.head(url, headers=headers, allow_redirects=False) as response:
                assert response.status == 200

        async def ours(number: int) -> None:
            repository = reference.Repository(host, "org/app")
            await registries.repository(repository, access).resolve(f"v{number}")

        default = gc.get_threshold()
        try:
            for threshold in (default[0], _HIGH_THRESHOLD):
                gc.set_threshold(threshold, *default[1:])
                found = await _alternate(bare, ours, checks=checks, rounds=rounds)
                print(f"{scheme:5} {found}, collector at {threshold}")
        finally:
            gc.set_threshold(*default)
    await registries.close()


async def _alternate(bare: Check, ours: Check, *, checks: int, rounds: int) -> str:
    """A line about so many checks of each kind, in blocks that take turns."""
    block = max(1, checks // rounds)
    for check in (bare, ours):
        await _measure(check, _WARM_UP)
    used: dict[str, list[float]] = {"bare": [], "ours": []}
    rates: list[float] = []
    for _ in range(rounds):
        for name, check in (("bare", bare), ("ours", ours)):
            cpu, rate = await _measure(check, block)
            used[name].append(cpu)
        rates.append(rate)
    means = {name: statistics.fmean(each) for name, each in used.items()}
    low, _, high = statistics.quantiles(
        [mine / theirs for mine, theirs in zip(used["ours"], used["bare"], strict=True)], n=4
    )
    return (
        f"ours {means['ours']:4.0f} us, bare {means['bare']:4.0f} us CPU per check: "
        f"{means['ours'] / means['bare']:.2f} (quartiles {low:.2f} to {high:.2f}); "
        f"{statistics.median(rates):5.0f} checks/s"
    )


async def _count(host: str, front: nginx.Nginx) -> None:
    """Requests of a cold and of a warm check, as the registry counts them."""
    registries = registry.Registries()
    app = registries.repository(reference.Repository(host, "org/app"))
    counts = []
    for _ in range(3):
        before = len(front.exchanges())
        await app.resolve("v1")
        await asyncio.sleep(0.1)  # nginx writes its log just after the answer
        counts.append(len(front.exchanges()) - before)
    await registries.close()
    print(f"requests per check: {counts[0]} cold, {counts[-1]} warm")


async def _run(checks: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        authority = certificates.Authority.create()
        files = authority.server().write(folder / "tls")
        text = _TEXT % {"certificate": files.certificate, "key": files.key, "hex": "a" * 64}
        with nginx.start(folder / "nginx", text, count=2) as front:
            await _count(f"127.0.0.1:{front.ports[0]}", front)
            for scheme, port in (("http", front.ports[0]), ("https", front.ports[1])):
                await _compare(
                    scheme,
                    f"127.0.0.1:{port}",
                    authority.certificate_pem,
                    checks=checks,
                    rounds=rounds,
                )


def main() -> int:
    """Print the ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.registry", description=__doc__)
    parser.add_argument("--checks", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    asyncio.run(_run(arguments.checks, arguments.rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
