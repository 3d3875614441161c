"""The HTTP listener: aiohttp's server, with refusals that clients of the API understand.

What cannot be read as HTTP never reaches the endpoint; it is answered here, with a Status and
without repeating what was sent, which may hold a token.
"""

from typing import Any

from aiohttp import web, web_protocol

from ocisource.apiserver.forms import answers
from ocisource.apiserver.wording import failures


class Handler(web_protocol.RequestHandler):
    """One connection."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002 - it would repeat what was sent
        message: str | None = None,  # noqa: ARG002 - likewise
    ) -> web.StreamResponse:
        """Answer what is no HTTP request with a Status, and close the connection."""
        if request.writer.output_size:
            raise ConnectionError("a part of the answer is sent already")
        if status < 500:  # noqa: PLR2004 - the client's mistake
            refused = failures.bad_request(f"{status}: the request is malformed")
        else:
            refused = failures.internal("unexpected failure")
        answer = answers.refusal(refused)
        response = web.Response(body=answer.body, status=answer.code)
        response.headers["Content-Type"] = answer.content_type
        response.force_close()
        return response


class Server(web.Server):
    """Makes a handler for each connection."""

    def __call__(self) -> web_protocol.RequestHandler:
        """Return a new connection's handler."""
        return Handler(self, loop=self._loop, **self._kwargs)


def new(handler: Any, **options: Any) -> Server:
    """A server that hands requests to ``handler``; options are aiohttp's."""
    return Server(handler, access_log=None, **options)
