"""Where the real programs are, and what is said when one is missing."""

import os
import pathlib
import shutil
from typing import NoReturn

import pytest

REQUIRE_PARTS = "OCISOURCE_REQUIRE_PARTS"
_SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"  # daemons live there, off a user's PATH


def find(name: str, *, package: str) -> pathlib.Path:
    """Path of a program; skips the test with one line when it is missing.

    With the environment variable OCISOURCE_REQUIRE_PARTS=1 (CI) a missing part is a failure.
    """
    search = os.pathsep.join([os.environ.get("PATH", os.defpath), _SYSTEM_FOLDERS])
    found = shutil.which(name, path=search)
    if found is None:
        missing(f"{name} is not installed: apt-get install {package}")
    return pathlib.Path(found)


def missing(line: str) -> NoReturn:
    """Skip the test, or fail it where parts are required."""
    if os.environ.get(REQUIRE_PARTS) == "1":
        pytest.fail(line, pytrace=False)
    pytest.skip(line)
