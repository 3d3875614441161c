"""What a registry, its storage host or a middle-man may do wrong.

Each function makes a fault for ``Simulator.on()``: it gets the request and the way to the right
answer, and gives another answer, or breaks the connection.
"""

import asyncio
from collections.abc import Callable, Mapping

from aiohttp import web

from tests.simulators.registry import Fault, Handler


def status(code: int, *, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Fault:
    """Answer with a status."""

    async def fault(_request: web.Request, _right: Handler) -> web.StreamResponse:
        return web.Response(status=code, headers=dict(headers or {}), body=body)

    return fault


def redirect(target: str | Callable[[web.Request], str], *, code: int = 307) -> Fault:
    """Send the client elsewhere."""

    async def fault(request: web.Request, _right: Handler) -> web.StreamResponse:
        location = target if isinstance(target, str) else target(request)
        return web.Response(status=code, headers={"Location": location})

    return fault


def html(code: int = 200) -> Fault:
    """Answer with a page for humans."""
    page = b"<!DOCTYPE html><html><body>Sign in</body></html>"
    return status(code, headers={"Content-Type": "text/html; charset=utf-8"}, body=page)


def without(*names: str) -> Fault:
    """The right answer, but for some headers."""

    async def fault(request: web.Request, right: Handler) -> web.StreamResponse:
        response = await right(request)
        for name in names:
            response.headers.popall(name, None)
            if name == "Content-Type":
                response.headers[name] = "application/octet-stream"
        return response

    return fault


def with_headers(headers: Mapping[str, str]) -> Fault:
    """The right answer, with some headers set to something else."""

    async def fault(request: web.Request, right: Handler) -> web.StreamResponse:
        response = await right(request)
        response.headers.update(headers)
        return response

    return fault


def altered(change: Callable[[bytes], bytes]) -> Fault:
    """The right headers with another body."""

    async def fault(request: web.Request, right: Handler) -> web.StreamResponse:
        response = await right(request)
        assert isinstance(response, web.Response)
        assert isinstance(response.body, bytes)
        response.body = change(response.body)
        return response

    return fault


def reset() -> Fault:
    """Break the connection before anything is said."""

    async def fault(request: web.Request, _right: Handler) -> web.StreamResponse:
        return _hang_up(request)

    return fault


def lost_answer() -> Fault:
    """Do what was asked, then break the connection."""

    async def fault(request: web.Request, right: Handler) -> web.StreamResponse:
        await right(request)
        return _hang_up(request)

    return fault


def cut(after: int) -> Fault:
    """Break the connection after so many bytes of the right body."""

    async def fault(request: web.Request, right: Handler) -> web.StreamResponse:
        head, body = await _raw(request, right)
        await _write(request, head + body[:after])
        return _hang_up(request)

    return fault


def length(declared: int) -> Fault:
    """The right body under a wrong ``Content-Length``, and the connection closed after it."""

    async def fault(request: web.Request, right: Handler) -> web.StreamResponse:
        head, body = await _raw(request, right, length=declared)
        await _write(request, head + body)
        return _hang_up(request)

    return fault


def drip(size: int) -> Fault:
    """The right body, a few bytes at a time, as slowly as the loop turns."""

    async def fault(request: web.Request, right: Handler) -> web.StreamResponse:
        head, body = await _raw(request, right)
        await _write(request, head)
        for start in range(0, len(body), size):
            await _write(request, body[start : start + size])
            await asyncio.sleep(0)
        return _hang_up(request)

    return fault


def silence(until: asyncio.Event) -> Fault:
    """Say nothing until the event is set, then answer rightly."""

    async def fault(request: web.Request, right: Handler) -> web.StreamResponse:
        await until.wait()
        return await right(request)

    return fault


def endless_pages(tags: Callable[[int], list[str]], *, is_repeating: bool = False) -> Fault:
    """Pages of tags, each with a link to one more (or, repeating, to itself)."""
    count = 0

    async def fault(request: web.Request, _right: Handler) -> web.StreamResponse:
        nonlocal count
        count += 1
        path = request.path if is_repeating else f"{request.path}?page={count}"
        link = f"<{request.rel_url.raw_path_qs if is_repeating else path}>; rel=next"
        return web.json_response({"tags": tags(count)}, headers={"Link": link})

    return fault


async def _raw(
    request: web.Request, right: Handler, *, length: int | None = None
) -> tuple[bytes, bytes]:
    """Head and body of the right answer, as they would go over the wire."""
    response = await right(request)
    assert isinstance(response, web.Response)
    assert isinstance(response.body, bytes)
    body = response.body
    response.headers["Content-Length"] = str(len(body) if length is None else length)
    lines = [f"HTTP/1.1 {response.status} {response.reason}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode(), body


async def _write(request: web.Request, data: bytes) -> None:
    assert request.transport is not None
    request.transport.write(data)
    await asyncio.sleep(0)


def _hang_up(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.close()
    return _Nothing()


class _Nothing(web.StreamResponse):
    """An answer that says nothing: the connection is closed already."""

    async def prepare(self, request: web.BaseRequest) -> None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None
