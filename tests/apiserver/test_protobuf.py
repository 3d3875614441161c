"""Protobuf bodies of stock kubectl, byte for byte as it sent them, and damage."""

import base64
import contextlib
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies

from ocisource import errors
from ocisource.apiserver.forms import protobuf

# kubectl 1.32: create secret generic tls-certs --from-file=certFile=(the bytes "vm\n")
SECRET = bytes.fromhex(
    "6b3873000a0c0a02763112065365637265"
    "74122e0a190a09746c732d6365727473120"
    "01a0022002a0032003800420012"
    "0f0a0863657274"
    "46696c651203766d0a1a00"
    "1a002200"
)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value % (1 << 64))
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _body(api_version: str, kind: str, raw: bytes) -> bytes:
    meta = _field(1, api_version.encode()) + _field(2, kind.encode())
    return protobuf.MAGIC + _field(1, meta) + _field(2, raw)


def test_a_secret_of_stock_kubectl_is_read() -> None:
    """Empty members are left out, data is base64 as in JSON."""
    assert protobuf.decode(SECRET) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "tls-certs"},
        "data": {"certFile": base64.b64encode(b"vm\n").decode()},
    }


@pytest.mark.parametrize(
    ("api_version", "kind", "raw", "expected"),
    [
        (
            "v1",
            "Namespace",
            _field(1, _field(1, b"apps") + _field(11, _field(1, b"a") + _field(2, b"b"))),
            {"metadata": {"name": "apps", "labels": {"a": "b"}}},
        ),
        (
            "v1",
            "ServiceAccount",
            _field(1, _field(1, b"puller")) + _field(3, _field(1, b"one")) + _field(4, 0),
            {
                "metadata": {"name": "puller"},
                "imagePullSecrets": [{"name": "one"}],
                "automountServiceAccountToken": False,
            },
        ),
        (
            "coordination.k8s.io/v1",
            "Lease",
            _field(1, _field(1, b"lock"))
            + _field(
                2, _field(1, b"me") + _field(2, 35) + _field(4, _field(1, 0) + _field(2, 5000))
            ),
            {
                "metadata": {"name": "lock"},
                "spec": {
                    "holderIdentity": "me",
                    "leaseDurationSeconds": 35,
                    "renewTime": "1970-01-01T00:00:00.000005Z",
                },
            },
        ),
        (
            "v1",
            "DeleteOptions",
            _field(1, -1) + _field(2, _field(1, b"u")) + _field(4, b"Background"),
            {
                "gracePeriodSeconds": -1,
                "preconditions": {"uid": "u"},
                "propagationPolicy": "Background",
            },
        ),
    ],
)
def test_members_get_their_json_names(
    api_version: str, kind: str, raw: bytes, expected: dict[str, Any]
) -> None:
    """Maps, lists, numbers, times and messages within messages."""
    found = protobuf.decode(_body(api_version, kind, raw))
    assert found == {"apiVersion": api_version, "kind": kind} | expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        protobuf.MAGIC,
        SECRET[:-3],
        _body("v1", "Pod", b""),
        _body("v1", "Secret", b"\xff"),
        _body("v1", "Secret", _field(1, 7)),
        _body("v1", "Secret", _field(3, b"\xff")),
        _body("v1", "Secret", b"\x0b"),
        _body("v1", "Namespace", _field(1, _field(8, _field(1, 1 << 62)))),
    ],
)
def test_damage_is_refused(body: bytes) -> None:
    """One of our errors, never another."""
    with pytest.raises(errors.InvalidInputError):
        protobuf.decode(body)


@hypothesis.given(strategies.binary(max_size=200), strategies.sampled_from(sorted(protobuf.KINDS)))
def test_any_bytes_are_read_or_refused(raw: bytes, kind: tuple[str, str]) -> None:
    """No other error than ours."""
    with contextlib.suppress(errors.InvalidInputError):
        protobuf.decode(_body(*kind, raw))
