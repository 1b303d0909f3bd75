"""The SDK's client, with its request options built once and reused.

It pays: 0.30 ms instead of 0.44 ms of CPU for a call to a transport that answers at
once, and an eighth of a whole run's CPU per request (0.652 ms instead of 0.745 ms with
`build_request` alone; docs/benchmarks.md).

Imports `anthropic`: a second of CPU. Only `sdk_connection.py` imports this, and only
once something is to be sent.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Mapping
from types import MappingProxyType
from typing import Any, cast

import aiohttp
import anthropic
import httpx2

_STREAM = anthropic.AsyncStream[Any]
_Pairs = list[tuple[bytes, bytes]]
_NONE: Mapping[str, str] = MappingProxyType({})
_NOTHING: Mapping[str, Any] = MappingProxyType({})
# Gateways add cookies and traces of their own: with the parser's defaults (8,190 bytes,
# 128 headers) each of their answers would be refused, after it was billed.
_LONGEST_LINE = 2**17
_MOST_HEADERS = 2000


class FastHttp(anthropic.DefaultAioHttpClient):
    """The SDK's HTTP client, which builds requests without merging constant defaults.

    `build_request` is a public method; its usual work is a twentieth of a call's CPU.
    Only the SDK's own form, a body with headers, is built here; every other request
    takes the usual path.
    """

    # Mutable: the default headers that the SDK does not set, and the time-outs, both of
    # the first request.
    _own: _Pairs | None = None
    _timeout: Any = None
    _extensions: Mapping[str, Any] = _NOTHING

    def _init_transport(self, *args: Any, **more: Any) -> Any:
        return _roomy(super()._init_transport(*args, **more))

    def _init_proxy_transport(self, *args: Any, **more: Any) -> Any:
        return _roomy(super()._init_proxy_transport(*args, **more))

    def build_request(
        self,
        method: str,
        url: Any,
        *,
        headers: Any = None,
        content: Any = None,
        timeout: Any = httpx2.USE_CLIENT_DEFAULT,
        **more: Any,
    ) -> httpx2.Request:
        """As httpx2 does it."""
        if (
            not isinstance(headers, httpx2.Headers)
            or not isinstance(timeout, httpx2.Timeout)
            or any(more.values())
        ):
            return super().build_request(
                method, url, headers=headers, content=content, timeout=timeout, **more
            )
        if self._own is None or timeout is not self._timeout:
            self._own = [
                (name, value) for name, value in self.headers.raw if name.decode() not in headers
            ]
            self._timeout, self._extensions = timeout, {"timeout": timeout.as_dict()}
        return httpx2.Request(
            method,
            httpx2.URL(url),
            headers=self._own + headers.raw,
            cookies=self.cookies,
            content=content,
            extensions=dict(self._extensions),
        )


def _roomy(transport: Any) -> Any:
    """*transport*, whose session reads longer heads; it is made in the running loop, by
    the first request.
    """

    def session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                keepalive_timeout=transport.limits.keepalive_expiry,
                ssl=transport.ssl_context,
                limit=transport.limits.max_connections or 0,
            ),
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_LINE,
            max_headers=_MOST_HEADERS,
        )

    # Something that was given on purpose, by a test for example, stays.
    if getattr(transport, "client", _NONE) is None:
        transport.client = session
    return transport


class FastAnthropic(anthropic.AsyncAnthropic):
    """Posts bytes to one URL, with the request options that `post` built for the first
    call.

    Building them is a tenth of a call's CPU: the SDK resolves every default of a
    pydantic model again. They pass through `request`, a public method, where the first
    ones are stored.
    """

    # Mutable, set by the first request: its URL and its options, later only copied.
    _url = ""
    _template: Any = None

    @classmethod
    def open(cls, **settings: Any) -> FastAnthropic:
        """A client with the SDK's own *settings*."""
        # Made as the SDK's class: for a subclass it looks for no profile and no
        # identity token, and the first request would have no credential.
        client: Any = anthropic.AsyncAnthropic(**settings)
        client.__class__ = cls
        return cast("FastAnthropic", client)

    async def ask(
        self, url: str, body: bytes, headers: Mapping[str, str] = _NONE
    ) -> httpx2.Response:
        """The response to *body*, posted to *url*, always the same one; raises the
        SDK's errors.

        *headers* go with this one request only.

        The response's body is unread: the SDK would read it without a bound on its size
        or on its silence.
        """
        # The SDK's types do not say that a `Response` is returned unchanged.
        response: Any
        if self._template is None:
            self._url = url
            response = await self.post(
                url,
                content=body,
                options={"headers": dict(headers)},
                cast_to=httpx2.Response,
                stream=True,
                stream_cls=_STREAM,
            )
        else:
            options = self._template.model_copy(update={"content": body, "headers": headers})
            response = await super().request(
                httpx2.Response, options, stream=True, stream_cls=_STREAM
            )
        return cast("httpx2.Response", response)

    async def count(self, url: str, body: bytes) -> httpx2.Response:
        """The response to *body*, posted to another *url*, read in full; raises the
        SDK's errors.
        """
        return await self.post(url, content=body, cast_to=httpx2.Response)

    async def exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: AsyncIterable[bytes] | None = None,
    ) -> httpx2.Response:
        """The response to any other request, its body unread; raises the SDK's errors.

        *content* is taken piece by piece while it is sent.
        """
        sends: dict[str, Any] = {"GET": self.get, "POST": self.post, "DELETE": self.delete}
        more: dict[str, Any] = {} if content is None else {"content": content}
        # The SDK reads a body of its own accord unless a stream is asked for, and for
        # DELETE it cannot be asked: that answer is a line.
        if method != "DELETE":
            more |= {"stream": True, "stream_cls": _STREAM}
        response = await sends[method](
            url, options={"headers": dict(headers)}, cast_to=httpx2.Response, **more
        )
        return cast("httpx2.Response", response)

    async def request(self, cast_to: Any, options: Any, **more: Any) -> Any:
        """As the SDK does it; stores the options of the first call."""
        if self._template is None and options.url == self._url:
            # The URL is stored parsed; as a text it would be parsed for every request.
            self._template = options.model_copy(
                update={"content": None, "url": httpx2.URL(options.url)}
            )
        return await super().request(cast_to, options, **more)
