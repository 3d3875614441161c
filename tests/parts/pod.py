"""A process in the place of a Pod's container: its account mounted, a read-only root, no rights.

It runs in a mount namespace of its own, so that the one fixed path of in-cluster configuration can
lead to a folder of the test. Only root (or whoever has CAP_SYS_ADMIN) may make one.
"""

import dataclasses
import os
import pathlib
import subprocess
from collections.abc import Iterable, Sequence

import pytest

MOUNTED = "/var/run/secrets/kubernetes.io/serviceaccount"  # by every kubelet
# $1 the account's folder, then writable folders up to "--", then the command. /run becomes a
# folder of its own first, because nothing may be made in the real one.
_SCRIPT = """
run=$(readlink -f /var/run)
mount -t tmpfs -o mode=755 tmpfs "$run"
mkdir -p "$MOUNTED"
mount --bind "$1" "$MOUNTED"
shift
while [ "$1" != "--" ]; do mount --bind "$1" "$1"; shift; done
shift
mount -o remount,bind,ro /
exec setpriv --no-new-privs --bounding-set=-all --inh-caps=-all -- "$@"
"""


def require() -> None:
    """Skip the test where no mount namespace can be had: nothing that is installed changes that."""
    words = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no unshare here: a Pod's mounts cannot be made")
    if done.returncode:
        pytest.skip(f"no mount namespace may be made here: {done.stderr.strip()}")


def command(
    words: Sequence[str | os.PathLike[str]],
    *,
    account: pathlib.Path,
    writable: Iterable[pathlib.Path],
) -> list[str]:
    """The command line that runs ``words`` as a container: the process keeps its id."""
    shell = ["unshare", "--mount", "--propagation=private", "env", f"MOUNTED={MOUNTED}"]
    shell += ["sh", "-euc", _SCRIPT, "sh", str(account), *map(str, writable), "--"]
    return [*shell, *(os.fspath(word) for word in words)]


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """The projected volume of a ServiceAccount, replaced in one go as a kubelet does it.

    Files are links into ``..data``, itself a link to the newest folder, which is renamed over it.
    """

    folder: pathlib.Path
    authority: bytes
    namespace: str

    def write(self, token: str) -> None:
        """Put a token there, beside the cluster's CA and the namespace, or another in its place."""
        self.folder.mkdir(exist_ok=True)
        number = sum(1 for each in self.folder.iterdir() if each.name.startswith("..2"))
        newest = self.folder / f"..2026_{number}"
        newest.mkdir()
        files = {"token": token.encode(), "ca.crt": self.authority}
        for name, content in (files | {"namespace": self.namespace.encode()}).items():
            (newest / name).write_bytes(content)
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")
        link = self.folder / "..data_tmp"
        link.symlink_to(newest.name)
        link.rename(self.folder / "..data")
