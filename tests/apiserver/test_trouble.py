"""Trouble: full disks, followers that fail, clocks that were set back, certificates that end."""

import asyncio
import contextlib
import errno
import os
import pathlib
import resource
import shutil
import sqlite3
import ssl
from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from cryptography import x509

from ocisource import errors, process
from ocisource.apiserver import deletion, janitor, server
from ocisource.apiserver.history import database, records, store
from ocisource.apiserver.identity import certificates, kubeconfig
from tests.apiserver import conftest

MAPS = conftest.CONFIG_MAPS
DAY = 86_400.0
Starter = Callable[..., contextlib.AbstractAsyncContextManager[conftest.Api]]


class SteppedSource(server.SystemSource):
    """The machine's time, and days beside it."""

    def __init__(self) -> None:
        self.days = 0.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return super().now() + self.days * DAY


async def limit_pages(api: conftest.Api, pages: int) -> int:
    """Let the data file have no more pages than that; returns how many it has."""
    found: list[int] = []

    def work(opened: database.Database) -> None:
        connection = opened._connection
        connection.execute(f"PRAGMA max_page_count = {pages}")
        found.extend(connection.execute("PRAGMA page_count").fetchone())

    await conftest.store_of(api)._writer.call(work)
    return found[0]


class TestFullDisk:
    """SQLite has no room left."""

    async def test_refuses_writes_and_recovers(self, api: conftest.Api) -> None:
        """A Status says why; reads and watches go on, and writes do when there is room again."""
        await api.create(MAPS, conftest.config_map("a"))
        async with api.watch(MAPS + "?watch=1") as watch:
            assert await watch.seen(1) == [("ADDED", "a")]
            await limit_pages(api, await limit_pages(api, 1_000_000))
            big = conftest.config_map("b", data={"k": "x" * 100_000})
            answer = await api.send("POST", MAPS, big)
            assert (answer.status, answer.doc["reason"]) == (500, "InternalError")
            assert answer.doc["message"] == (
                "Internal error occurred: cannot write to the data file: database or disk is full"
            )
            assert (await api.get(MAPS + "/a")).status == 200
            assert (await api.get(MAPS + "/b")).status == 404
            await limit_pages(api, 1_000_000)
            await api.create(MAPS, big)
            assert await watch.seen(1) == [("ADDED", "b")]

    async def test_at_a_start_is_told(
        self, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """SQLite's own text would be about I/O."""
        (tmp_path / "store.db-journal").mkdir()
        (tmp_path / "store.db-wal").mkdir()
        usage = shutil.disk_usage(tmp_path)
        with pytest.raises(errors.StorageError) as found:
            await store.Store.open(tmp_path / "store.db")
        assert "disk is full" not in str(found.value)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=0))
        with pytest.raises(errors.StorageError) as found:
            await store.Store.open(tmp_path / "store.db")
        assert str(found.value).startswith(f"cannot open {tmp_path / 'store.db'}: ")
        assert str(found.value).endswith(": the disk is full: make room, then start again")

    @pytest.mark.parametrize(
        ("error", "told"),
        [
            (
                sqlite3.OperationalError("database or disk is full"),
                "database or disk is full: make room, then start again",
            ),
            (
                PermissionError(errno.EACCES, "Permission denied"),
                (
                    "Permission denied: it is another user's; run as that one, or choose another "
                    "--data-dir"
                ),
            ),
        ],
    )
    async def test_is_told_once_and_apart_from_a_strangers_file(
        self,
        tmp_path: pathlib.Path,
        monkeypatch: pytest.MonkeyPatch,
        error: Exception,
        told: str,
    ) -> None:
        """With what to do."""

        def fail(*_: object, **__: object) -> NoReturn:
            raise error

        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=0))
        monkeypatch.setattr(sqlite3, "connect", fail)
        monkeypatch.setattr(os, "open", fail)
        with pytest.raises(errors.StorageError) as found:
            await store.Store.open(tmp_path / "store.db")
        assert str(found.value) == f"cannot open {tmp_path / 'store.db'}: {told}"

    async def test_needs_no_new_kubeconfig(
        self, tmp_path: pathlib.Path, start: Starter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A server that has nothing new to say writes nothing, and so can start."""
        async with start(tmp_path) as api:
            port = int(api.address.rpartition(":")[2])

        def full(_path: pathlib.Path, _data: bytes) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(certificates, "write_private", full)
        async with start(tmp_path, port=port) as api:
            assert (await api.get(MAPS)).status == 200
        (tmp_path / "kubeconfig").unlink()
        with pytest.raises(errors.StorageError, match="kubeconfig: No space left on device"):
            async with start(tmp_path, port=port):
                pass


class TestFaults:
    """What must not fail, and fails all the same."""

    async def test_a_follower_keeps_no_write_back(
        self, api: conftest.Api, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The writer hears that the write is done; the log says where it failed, not with what."""

        def fail(_change: records.Change) -> None:
            raise ValueError("secret")

        conftest.store_of(api).listen(fail)
        await api.create(MAPS, conftest.config_map("a"))
        await api.create(MAPS, conftest.config_map("b"))
        assert "a follower of the API's objects failed: ValueError in test_trouble" in caplog.text
        assert "secret" not in caplog.text

    async def test_one_object_does_not_end_all_cleaning(
        self, api: conftest.Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It is tried again."""
        monkeypatch.setattr(janitor, "RETRY_SECONDS", 0.0)
        delete_all = deletion.Deletions.delete_all
        calls: list[Any] = []

        async def fail_once(self: deletion.Deletions, kind: Any, keys: Any, *args: Any) -> None:
            # The look for old events, at every start, deletes nothing here.
            calls.extend(keys)
            if calls and len(calls) == len(keys):
                raise ValueError("secret")
            await delete_all(self, kind, keys, *args)

        monkeypatch.setattr(deletion.Deletions, "delete_all", fail_once)
        await api.create("/api/v1/namespaces", {"metadata": {"name": "n"}})
        await api.create("/api/v1/namespaces/n/configmaps", conftest.config_map("a"))
        await api.send("DELETE", "/api/v1/namespaces/n")
        await conftest.until_status(api, "/api/v1/namespaces/n", 404)
        assert "cleaning up /n: ValueError in test_trouble" in caplog.text
        assert "secret" not in caplog.text


async def test_short_runs_forget_old_events(tmp_path: pathlib.Path, start: Starter) -> None:
    """A run that ends before its first minute looks at once."""
    event = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "ConfigMap", "name": "a", "namespace": "default"},
    }
    path = "/api/v1/namespaces/default/events"
    source = SteppedSource()
    async with start(tmp_path, source=source) as api:
        await api.create(path, event)
    async with start(tmp_path, source=source) as api:
        assert (await api.get(path + "/e")).status == 200
    source.days = 1.0
    async with start(tmp_path, source=source) as api:
        await conftest.until_status(api, path + "/e", 404)


class TestCertificate:
    """The server's own certificate."""

    async def test_is_renewed_while_the_server_runs(
        self, tmp_path: pathlib.Path, start: Starter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """New connections are shown the new one, which the same authority has signed."""
        monkeypatch.setattr(server, "RENEWAL_SECONDS", 0.01)
        source = SteppedSource()
        path = tmp_path / certificates.FOLDER / "server.crt"
        async with start(tmp_path, source=source) as api:
            first = path.read_bytes()
            assert (await api.get(MAPS)).status == 200
            source.days = certificates.SERVER_DAYS - 1.0
            await conftest.until(lambda: path.read_bytes() != first)
            # Valid in a year from now: only what it is and who signed it can be looked at.
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            wanted = x509.load_pem_x509_certificate(path.read_bytes())
            while await shown(api, context) != wanted.serial_number:  # noqa: ASYNC110 - it is near
                await asyncio.sleep(0)
            ca = x509.load_pem_x509_certificate((tmp_path / "pki" / "ca.crt").read_bytes())
            wanted.verify_directly_issued_by(ca)

    async def test_that_cannot_be_renewed_is_told(
        self,
        tmp_path: pathlib.Path,
        start: Starter,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """The authority's key may have been taken away; the server goes on with what it has."""
        monkeypatch.setattr(server, "RENEWAL_SECONDS", 0.01)
        source = SteppedSource()
        async with start(tmp_path, source=source) as api:
            (tmp_path / "pki" / "ca.key").unlink()
            source.days = certificates.SERVER_DAYS - 1.0
            await conftest.until(lambda: "certificate is not renewed" in caplog.text)
            assert (await api.get(MAPS)).status == 200

    def test_is_made_anew_when_the_clock_was_set_back(self, tmp_path: pathlib.Path) -> None:
        """Clients would refuse one that is not valid yet, and its authority."""
        first = certificates.load(tmp_path, names=(), now=2e9)
        second = certificates.load(tmp_path, names=(), now=1e9)
        assert first.ca_pem != second.ca_pem
        held = x509.load_pem_x509_certificate((tmp_path / "pki" / "server.crt").read_bytes())
        assert held.not_valid_before_utc.timestamp() < 1e9

    @pytest.mark.parametrize("name", ["ca.crt", "ca.key", "server.crt", "server.key", "sa.key"])
    def test_files_that_are_damaged_are_named(self, tmp_path: pathlib.Path, name: str) -> None:
        """In one line that says what to do."""
        certificates.load(tmp_path, names=(), now=1e9)
        path = tmp_path / certificates.FOLDER / name
        path.write_bytes(b"")
        with pytest.raises(errors.StorageError) as found:
            certificates.load(tmp_path, names=(), now=1e9)
        assert str(found.value) == (
            f"cannot read {path}: it is damaged; put it back from a backup, or remove it to have a "
            "new one made"
        )

    @pytest.mark.parametrize("content", [b"admin,\xff\xfe\n", bytes(101)])
    def test_damaged_tokens_are_named_too(self, tmp_path: pathlib.Path, content: bytes) -> None:
        """They are not replaced in silence: clients hold the old ones."""
        (tmp_path / certificates.FOLDER).mkdir()
        path = tmp_path / certificates.FOLDER / kubeconfig.TOKENS
        path.write_bytes(content)
        with pytest.raises(errors.StorageError, match=r"cannot read .*tokens\.csv: it is damaged"):
            kubeconfig.load_tokens(tmp_path)


async def shown(api: conftest.Api, context: ssl.SSLContext) -> int:
    """The serial number of the certificate that a new connection is shown."""
    host, _, port = api.address.removeprefix("https://").rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    try:
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(der).serial_number
    finally:
        writer.close()
        await writer.wait_closed()


async def test_many_may_watch_whatever_the_limit_was(
    tmp_path: pathlib.Path, start: Starter
) -> None:
    """The soft limit of open files goes up to the hard one, within reason."""
    kind = resource.RLIMIT_NOFILE
    soft, hard = resource.getrlimit(kind)
    wanted = min(each for each in (hard, process.MAX_FILES) if each != resource.RLIM_INFINITY)
    resource.setrlimit(kind, (wanted // 2, hard))
    try:
        async with start(tmp_path):
            assert resource.getrlimit(kind) == (wanted, hard)
    finally:
        resource.setrlimit(kind, (soft, hard))


async def test_an_address_in_use_is_told_once(tmp_path: pathlib.Path, start: Starter) -> None:
    """In the system's words, with what to do."""
    async with start(tmp_path / "one") as api:
        address = api.address.removeprefix("https://")
        with pytest.raises(errors.UsageError) as found:
            async with start(tmp_path / "two", port=int(address.rpartition(":")[2])):
                pass
    assert str(found.value) == (
        f"cannot listen on {address} (--api-addr): address already in use; choose another port, "
        "or 0 for a free one"
    )


async def test_a_host_that_is_none_is_told(tmp_path: pathlib.Path, start: Starter) -> None:
    """A name that no resolver would be asked for."""
    name = "x" * 64 + ".example.com"
    told = rf"cannot listen on {name}:0 \(--api-addr\): .*; choose an address of this machine"
    with pytest.raises(errors.UsageError, match=told):
        async with start(tmp_path, host=name):
            pass
