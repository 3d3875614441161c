"""HTTP for the clouds' libraries that speak through ``requests``: Azure's and Google's.

Imported only when one of them is used: ``requests`` comes with their extras.
"""

import collections
import http
import urllib.parse
from typing import Any

import requests

from ocisource import errors
from ocisource.net import address
from ocisource.net import proxy as proxies
from ocisource.oci.providers import calls, quoting

# Seconds. Libraries try a metadata service again and again before they say that there is none,
# which they must have said before the deadline; one that is there answers in milliseconds.
_LOCAL_CONNECT_TIMEOUT = 1.0
_SHOWN = 4096  # characters of an answer that are looked at
_METADATA_HOSTS = frozenset({"localhost", "metadata", "metadata.google.internal"})


class Session(requests.Session):
    """A session with a proxy of its own, bounded waits, no redirects and no ``.netrc``.

    Metadata services live on the machine: what is loopback or link-local is asked directly. A
    server that is out of order is quoted (CredentialError) before a library has asked it so often
    that nobody waits any more.
    """

    def __init__(self, proxy: proxies.Proxy | None) -> None:
        super().__init__()
        self._proxy = proxy
        self.max_redirects = 0  # a token request is never sent anywhere else
        self.auth = _as_it_is
        self._responses: list[requests.Response] = []
        self._failures: collections.Counter[str] = collections.Counter()

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        """As requests', with our bounds on waiting."""
        wanted = kwargs.get("timeout")
        asked = wanted if isinstance(wanted, int | float) else calls.DEADLINE
        connect = _LOCAL_CONNECT_TIMEOUT if is_local(str(url)) else calls.CONNECT_TIMEOUT
        kwargs["timeout"] = (min(asked, connect), min(asked, calls.DEADLINE))
        response = super().request(method, url, *args, **kwargs)
        self._responses.append(response)
        if response.status_code >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
            url, _, _ = str(response.url).partition("?")
            self._failures[url] += 1
            if self._failures[url] > calls.ATTEMPTS:
                said = quoting.words(response.text[:_SHOWN])
                raise errors.CredentialError(
                    f"{response.request.method} {url}: status {response.status_code}: {said}"
                )
        return response

    def close(self) -> None:
        """Close all connections, those of answers that a library left half read among them."""
        for response in self._responses:
            response.close()
        super().close()

    def merge_environment_settings(
        self, url: str | bytes | None, proxies: Any, stream: Any, verify: Any, cert: Any
    ) -> Any:
        """As requests', but the object's proxy goes before the environment's."""
        chosen: dict[str, Any] = dict(
            super().merge_environment_settings(str(url), proxies, stream, verify, cert)
        )
        if is_local(str(url)):
            chosen["proxies"] = {}
        elif self._proxy is not None:
            own = self._proxy.url_with_credentials
            chosen["proxies"] = {"http": own, "https": own}
        return chosen


def is_local(url: str) -> bool:
    """Whether a URL leads to the machine itself or to its cloud's metadata service."""
    host = urllib.parse.urlsplit(url).hostname or ""
    found = address.literal(host)
    if found is None:
        return host in _METADATA_HOSTS
    return found.is_loopback or found.is_link_local


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
