"""Tokens and kubeconfigs: made at the first start, kept in the data folder, mode 0600.

``kubeconfig`` is the administrator's, ``kubeconfig.readonly`` may be given to those who only
look. Both carry the authority's certificate, so they work from anywhere the server is reached.
"""

import base64
import csv
import io
import pathlib
import secrets

import yaml

from ocisource import errors
from ocisource.apiserver.identity import access, certificates

FILE_NAME = "kubeconfig"
READER_FILE_NAME = "kubeconfig.readonly"
TOKENS = "tokens.csv"
TOKEN_BYTES = 32  # of randomness
_NAME = "ocisource"
_COLUMNS = 2
_MODE = 0o600
_USERS = {"admin": access.ADMIN, "reader": access.READER}


def load_tokens(data_dir: pathlib.Path) -> dict[str, str]:
    """The token of each user, ``admin`` and ``reader``; raises StorageError.

    The file holds a line ``user,token`` each; a line that is taken out makes a new token.
    """
    path = data_dir / certificates.FOLDER / TOKENS
    try:
        with certificates.reading(path):
            text = path.read_text(encoding="ascii") if path.exists() else ""
            if "\0" in text:
                raise ValueError("NUL")  # what a power cut leaves of a file
        rows = [row for row in csv.reader(io.StringIO(text)) if len(row) == _COLUMNS]
        tokens = {user: token for user, token in rows if user in _USERS and token}
        if len(tokens) < len(_USERS):
            made = {user: secrets.token_urlsafe(TOKEN_BYTES) for user in _USERS}
            tokens = {**made, **tokens}
            out = io.StringIO()
            csv.writer(out, lineterminator="\n").writerows(tokens.items())
            certificates.write_private(path, out.getvalue().encode())
    except OSError as error:
        raise errors.StorageError(f"cannot keep tokens in {path}: {error}") from error
    return tokens


def users(tokens: dict[str, str]) -> dict[str, access.User]:
    """Who each token stands for."""
    return {token: _USERS[user] for user, token in tokens.items()}


def write(
    data_dir: pathlib.Path, *, server: str, ca_pem: bytes, tokens: dict[str, str]
) -> pathlib.Path:
    """Write both kubeconfigs; returns the administrator's. Raises StorageError."""
    path = data_dir / FILE_NAME
    try:
        _write(path, server=server, ca_pem=ca_pem, user="admin", token=tokens["admin"])
        reader = data_dir / READER_FILE_NAME
        _write(reader, server=server, ca_pem=ca_pem, user="reader", token=tokens["reader"])
    except OSError as error:
        raise errors.StorageError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def _write(path: pathlib.Path, *, server: str, ca_pem: bytes, user: str, token: str) -> None:
    authority = base64.b64encode(ca_pem).decode()
    called = f"{_NAME}-{user}"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": _NAME,
        "clusters": [
            {
                "name": _NAME,
                "cluster": {"server": server, "certificate-authority-data": authority},
            }
        ],
        "users": [{"name": called, "user": {"token": token}}],
        "contexts": [
            {"name": _NAME, "context": {"cluster": _NAME, "user": called, "namespace": "default"}}
        ],
    }
    data = yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=False).encode()
    if path.is_file() and path.stat().st_mode & 0o777 == _MODE and path.read_bytes() == data:
        # A full disk does not keep a server from starting that has nothing new to say.
        return
    certificates.write_private(path, data)
