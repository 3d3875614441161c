"""Sessions on a command line, compared character by character with files in ``golden/``.

A file shows each command line, its standard output (``1|``), its standard error (``2|``) and its
exit code. A TAB is shown as ``⇥``, and a bar ends each line so that spaces there are seen::

    $ ocisource get sources oci -n apps
    1|NAME ⇥REVISION⇥SUSPENDED⇥READY⇥MESSAGE|
    [0]

What differs from run to run is replaced by something of the same length, so that the widths of
tables hold. With ``OCISOURCE_WRITE_GOLDEN=1`` the files are written instead: read the difference
before it is committed.
"""

import difflib
import os
import pathlib
import re
import shlex
import string

from tests.cli import terminal

FOLDER = pathlib.Path(__file__).parent / "golden"
_WRITE = "OCISOURCE_WRITE_GOLDEN"
_DIGEST = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_SHORT = 8  # hex digits of a digest in tables
_CHANGING = (
    (re.compile(r"127\.0\.0\.1:[0-9]{5}"), "127.0.0.1:#####"),
    (re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9:]{5})"), "TIME"),
    (re.compile(r"(uid\W+)[0-9a-f-]{36}"), r"\1UID"),
    (re.compile(r"(sizeBytes\W+)[0-9]+"), r"\1SIZE"),
    (re.compile(r"(resourceVersion\W+)[0-9]+"), r"\1VERSION"),
)
# The times of the tests' own objects stay.
_KEPT_TIME = "2022-06-14T11:23:36Z"


class Session:
    """Runs command lines one after the other, and keeps what they printed."""

    def __init__(self, shell: terminal.Shell) -> None:
        self._shell = shell
        self._text: list[str] = []
        self._hidden: dict[str, str] = {}

    def hide(self, text: str, shown: str, *, is_padded: bool = True) -> None:
        """Show ``shown`` (made as long, if it may stand in a table) wherever the text stands."""
        self._hidden[text] = shown.ljust(len(text), "-") if is_padded else shown

    def __call__(self, *words: str, stdin: bytes = b"", lines: int = 0) -> terminal.Result:
        """Run a command line; interrupt it after so many lines of output, unless that is 0."""
        result = self._shell(*words, stdin=stdin, lines=lines)
        self.note(words, result, stdin=stdin)
        return result

    def note(self, words: tuple[str, ...], result: terminal.Result, *, stdin: bytes = b"") -> None:
        """Keep what a command line printed."""
        typed = f"printf %s {shlex.quote(stdin.decode())} | " if stdin else ""
        lines = [f"$ {typed}ocisource {shlex.join(words)}"]
        for number, text in ((1, result.out), (2, result.err)):
            lines += [f"{number}|{line}|" for line in text.split("\n")[:-1]]
            assert not text.rpartition("\n")[2], "a line without an end"
        self._text.append("\n".join([*lines, f"[{result.code}]"]) + "\n")

    def compare(self, name: str) -> None:
        """Compare with the file of that name, or write it."""
        found = self._shown()
        path = FOLDER / f"{name}.txt"
        if os.environ.get(_WRITE):
            path.write_text(found, encoding="utf-8")
        wanted = path.read_text(encoding="utf-8") if path.exists() else ""
        lines = difflib.unified_diff(wanted.splitlines(), found.splitlines(), "wanted", "found")
        assert found == wanted, "\n".join(lines)

    def _shown(self) -> str:
        text = "\n".join(self._text)
        for hidden, shown in self._hidden.items():
            text = text.replace(hidden, shown)
        known = dict.fromkeys(_DIGEST.findall(text))
        for digest, letter in zip(known, string.ascii_uppercase, strict=False):
            if digest != terminal.DIGEST and len(set(digest)) > 1:
                text = text.replace(digest, letter * len(digest))
                text = text.replace(digest[:_SHORT], letter * _SHORT)
        text = text.replace(_KEPT_TIME, "KEPT")
        for pattern, shown in _CHANGING:
            text = pattern.sub(shown, text)
        return text.replace("KEPT", _KEPT_TIME).replace("\t", "⇥")
