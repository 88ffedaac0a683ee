"""Send the requests of a window: GET over persistent connections, with aiohttp.

aiohttp is used directly, because httpx spends a third of a window's CPU time on request, header and cookie objects.
One `Connections` serves one vendor. It

- follows no redirect, so that no credential reaches another address;
- keeps and sends no cookie;
- sends each request once: a broken connection is an error, not a second request that a vendor may bill;
- does not decompress: `response.BodyReader` does, within its limits.

The rate limits bound the number of connections, not this class.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Protocol
from urllib.parse import urlencode

import aiohttp
import httpx
from yarl import URL

from tiktok_pipeline.config.network import Network

_CHUNK = 16 * 1024
_KEPT_S = 30.0

# Errors whose own name is precise. For any other error, the name of its cause is more precise.
_PRECISE = (
    aiohttp.ClientConnectionError,
    aiohttp.ClientPayloadError,
    aiohttp.ClientHttpProxyError,
    aiohttp.InvalidURL,
)


class Reply(Protocol):
    """A response whose body has not been read yet."""

    status: int
    # By name in lower case; values of a repeated header are joined by ", ".
    headers: Mapping[str, str]

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives."""

    async def aclose(self) -> None:
        """Release the connection; close it if the body was not read to its end."""


class Sender(Protocol):
    """Sends requests to one vendor."""

    async def get(self, url: str, params: Mapping[str, str], headers: Mapping[str, str], timeout_s: float) -> Reply:
        """Send one GET request and return its reply once the headers have arrived.

        Args:
            url: the address, percent-encoded, without a query.
            params: the query, not encoded.
            headers: all headers of the request.
            timeout_s: longest time for a connection, and between two reads.

        Raises:
            Exception: any error of the network; `fault` names it.
        """

    async def aclose(self) -> None:
        """Close all connections."""


def fault(error: BaseException) -> str:
    """Return the name of a network error, for the column `error`."""
    if isinstance(error, _PRECISE):
        return type(error).__name__
    return type(error.__cause__ or error).__name__


class Connections:
    """A `Sender` for the addresses of one vendor; opens its connections when they are needed.

    Args:
        network: proxies and certificate authorities.
        url: an address of the vendor; decides which proxy applies.

    Raises:
        SettingsError: a proxy or certificate variable is invalid; names the variable.
    """

    def __init__(self, network: Network, url: str) -> None:
        self._context = network.ssl_context_of(url)
        proxy = network.proxy(url)
        self._proxy = None if proxy is None else URL(str(proxy.url))
        self._proxy_headers = None if proxy is None else dict(proxy.headers)
        self._session: aiohttp.ClientSession | None = None
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}

    async def get(self, url: str, params: Mapping[str, str], headers: Mapping[str, str], timeout_s: float) -> Reply:
        """See `Sender`."""
        if self._session is None:
            self._session = _session(self._context)
        timeout = self._timeouts.get(timeout_s)
        if timeout is None:
            timeout = aiohttp.ClientTimeout(connect=timeout_s, sock_connect=timeout_s, sock_read=timeout_s)
            self._timeouts[timeout_s] = timeout
        # Already encoded: yarl must not change what a vendor has signed or documented, such as `//` in a path.
        address = URL(f"{url}?{urlencode(params)}" if params else url, encoded=True)
        if self._proxy_headers and address.scheme == "http":
            # aiohttp sends the proxy's headers when it opens a tunnel, but not with a request that needs none.
            headers = {**headers, **self._proxy_headers}
        response = await self._session.get(
            address,
            headers=headers,
            allow_redirects=False,
            timeout=timeout,
            proxy=self._proxy,
            proxy_headers=self._proxy_headers,
        )
        return _Reply(response)

    async def aclose(self) -> None:
        """See `Sender`."""
        if self._session is not None:
            await self._session.close()


class _Reply:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = _headers(response.raw_headers)

    def chunks(self) -> AsyncIterator[bytes]:
        return self._response.content.iter_chunked(_CHUNK)

    async def aclose(self) -> None:
        self._response.release()
        await self._response.wait_for_close()


def _headers(raw: tuple[tuple[bytes, bytes], ...]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in raw:
        name, value = raw_name.decode("latin-1").lower(), _decoded(raw_value)
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _session(context: ssl.SSLContext) -> aiohttp.ClientSession:
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEPT_S, ssl=context),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
    )
    # aiohttp repeats a request by itself when a kept connection breaks: an attempt without a row, which a vendor may
    # bill. There is no public switch; a test proves that this one works.
    session._retry_connection = False
    return session


class Wrapped:
    """A `Sender` over a transport of httpx, for tests."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def get(self, url: str, params: Mapping[str, str], headers: Mapping[str, str], timeout_s: float) -> Reply:
        """See `Sender`."""
        extensions = {"timeout": httpx.Timeout(timeout_s).as_dict()}
        request = httpx.Request("GET", url, params=params or None, headers=headers, extensions=extensions)
        return _WrappedReply(await self._transport.handle_async_request(request))

    async def aclose(self) -> None:
        """See `Sender`."""
        await self._transport.aclose()


class _WrappedReply:
    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers

    async def chunks(self) -> AsyncIterator[bytes]:
        # The stream, not `aiter_bytes`: that decompresses.
        async for chunk in self._response.stream:  # type: ignore[union-attr]
            yield chunk

    async def aclose(self) -> None:
        await self._response.aclose()
