"""Building an archive of a local directory or file, as ``flux push`` and ``flux build`` do.

Unlike a layer that is packed anew, modes are kept: permission bits, set-id bits, sticky bit.
A directory's entry ``.`` comes first, then everything below in the order of a walk; what is
neither a directory nor a regular file is left out. A single file is packed as if it lay in a
directory of mode 0700.

Ignore patterns are those of the command line; ``.sourceignore`` files are not read. The same tree
gives the same bytes on every CPU.
"""

import contextlib
import os
import stat
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from ocisource import digest, errors
from ocisource.archive import compressors, gitignore, packer, sourceignore, ustar
from ocisource.archive.limits import Limits
from ocisource.archive.repack import Packed

_UNBOUNDED = Limits(unpacked_bytes=0, entries=0, ratio=0, name_bytes=0)
_PERMISSIONS = 0o7777
_PRIVATE = 0o700  # of the directories that Flux copies a single file, or a followed tree, into
_READ = 256 << 10  # bytes


def pack_path(
    path: Path,
    *,
    ignore: Sequence[str],
    write: Callable[[bytes], object],
    is_following: bool = False,
    is_cancelled: Callable[[], bool] = lambda: False,
    tar: digest.Hasher | None = None,
) -> Packed:
    """Pack a directory or file; ``write`` receives the gzip stream.

    ``ignore`` holds patterns in the dialect of archive.gitignore. With ``is_following``
    (``--resolve-symlinks``) links are replaced by what they point to, a directory within itself
    by an empty one, and a dangling link is an error. ``tar`` hashes the tar stream, which does not
    depend on the compressor.

    Raises UsageError for a path that is missing or cannot be read, AbandonedError.
    """
    build = _Build(
        packer.Packer(
            write,
            compressor=compressors.portable(),
            limits=_UNBOUNDED,
            is_cancelled=is_cancelled,
            tar=tar,
        ),
        is_following=is_following,
    )
    scope = gitignore.Rules(sourceignore.parse_list(ignore)).root()
    with _readable(path):
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            build.root(_PRIVATE if is_following else found.st_mode)
            build.walk(os.fsencode(path), scope)
        elif stat.S_ISREG(found.st_mode):
            build.root(_PRIVATE)
            build.file(os.fsencode(path), os.fsencode(path.absolute().name), scope.tester())
        else:
            raise errors.UsageError(
                f"invalid path '{path}', must point to an existing directory or file"
            )
    return build.finish()


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as exc:
        if exc.filename in (os.fspath(path), os.fsencode(path)):
            raise errors.UsageError(
                f"invalid path '{path}', must point to an existing directory or file"
            ) from exc
        raise errors.UsageError(_text(exc)) from exc
    except OSError as exc:
        raise errors.UsageError(_text(exc)) from exc


def _text(exc: OSError) -> str:
    name = os.fsdecode(exc.filename) if exc.filename else "the file"
    return f"cannot read '{name}': {os.strerror(exc.errno or 0).lower()}"


class _Build:
    """The archive being built."""

    def __init__(self, out: packer.Packer, *, is_following: bool) -> None:
        self._out = out
        self._is_following = is_following
        self._pending = 0
        self._templates: dict[tuple[bytes, int], ustar.Template] = {}
        self._entries = 0
        self._skipped: dict[str, int] = {}

    def root(self, mode: int) -> None:
        """Write the root's entry."""
        self._header(ustar.TYPE_DIRECTORY, mode, b".", 0)

    def finish(self) -> Packed:
        """End the archive."""
        self._put(ustar.END)
        self._out.finish()
        skipped = types.MappingProxyType(self._skipped)
        return Packed(self._out.tar_size, self._entries, skipped)

    def walk(self, top: bytes, scope: gitignore.Scope) -> None:
        """Write what lies below ``top``."""
        identity = _identity(os.stat(top))  # noqa: PTH116 - names are bytes here
        levels = [(top, b"", scope, iter(_listed(top)), identity)]
        while levels:
            folder, prefix, scope, names, _ = levels[-1]
            name = next(names, None)
            if name is None:
                levels.pop()
                continue
            path = folder + b"/" + name
            found = os.stat(path, follow_symlinks=self._is_following)  # noqa: PTH116
            if stat.S_ISREG(found.st_mode):
                self.file(path, prefix + name, scope.tester(), mode=found.st_mode)
            elif stat.S_ISDIR(found.st_mode):
                below = scope.child(name, path=prefix + name)
                if below.is_excluded:
                    self._count("ignored")
                else:
                    self._header(ustar.TYPE_DIRECTORY, found.st_mode, prefix + name, 0)
                identity = _identity(found)
                if not any(identity == level[4] for level in levels):
                    inner = prefix + name + b"/"
                    levels.append((path, inner, below, iter(_listed(path)), identity))
            else:
                self._count("symlink" if stat.S_ISLNK(found.st_mode) else "special file")

    def file(
        self,
        path: bytes,
        name: bytes,
        is_ignored: Callable[[bytes], bool],
        *,
        mode: int | None = None,
    ) -> None:
        """Write one regular file under ``name``."""
        if is_ignored(name.rpartition(b"/")[2]):
            self._count("ignored")
            return
        # What the walk saw as a file may have been replaced since, by a FIFO or a link.
        is_linked = self._is_following or mode is None
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if is_linked else os.O_NOFOLLOW)
        descriptor = os.open(path, flags)
        with os.fdopen(descriptor, "rb", buffering=0) as source:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise _changed(path)
            self._header(ustar.TYPE_FILE, found.st_mode, name, found.st_size)
            self._data(source, found.st_size, path)

    def _data(self, source: BinaryIO, size: int, path: bytes) -> None:
        left = size
        while left:
            data = source.read(min(left, _READ))
            if not data:
                raise _changed(path)
            self._put(data)
            left -= len(data)
        self._put(ustar.PADDING[size % 512])

    def _header(self, typeflag: bytes, mode: int, name: bytes, size: int) -> None:
        key = typeflag, mode & _PERMISSIONS
        if key not in self._templates:
            self._templates[key] = ustar.Template.of(*key)
        self._entries += 1
        self._put(ustar.header(self._templates[key], name, size))

    def _put(self, data: bytes) -> None:
        self._pending = self._out.put(data, self._pending)

    def _count(self, what: str) -> None:
        self._skipped[what] = self._skipped.get(what, 0) + 1


def _listed(folder: bytes) -> list[bytes]:
    return sorted(os.listdir(folder))  # noqa: PTH208 - as bytes


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _changed(path: bytes) -> errors.UsageError:
    return errors.UsageError(f"'{os.fsdecode(path)}' changed while it was read; try again")
