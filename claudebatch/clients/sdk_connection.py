"""The SDK's client as we configure it, and the transport's exceptions by their meaning.

Imports `anthropic`, `aiohttp` and `httpx2`: a second of CPU and 86 MB. Only `client.py`
imports this, and only once something is to be sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import aiohttp
import anthropic
import httpx2

from claudebatch.clients.base_url import DIRECT_IN_THE_CLEAR
from claudebatch.clients.fast_transport import FastAnthropic, FastHttp
from claudebatch.clients.network_route import NetworkRoute, tls_context
from claudebatch.clients.redaction import Redactor
from claudebatch.clients.response_body import cut_error_body
from claudebatch.clients.wire_format import API_VERSION
from claudebatch.core.errors import ConfigError, CredentialError

_CONNECT_S = 10.0
# The default of 5 s means a new TLS handshake for every request of a slow run.
_KEEPALIVE_S = 60.0

# Not httpx2.ConnectError: the transport also raises it for a connection that broke
# after the request was sent, and such a request may be billed.
NEVER_SENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
    httpx2.PoolTimeout,
    httpx2.UnsupportedProtocol,
)
"""Exceptions after which a request is certainly not billed."""

UNREADABLE = (aiohttp.ClientResponseError,)
"""The HTTP parser's refusals of a head that came."""

# The SDK wraps only exceptions up to the response's head.
BROKEN_OFF = (httpx2.HTTPError, httpx2.StreamError, aiohttp.ClientError, OSError)
"""Exceptions of the transport while a body is read."""

STATUS_ERROR = anthropic.APIStatusError
CONNECTION_ERROR = anthropic.APIConnectionError


def open_sdk(
    *,
    api_key: str | None,
    base_url: str | None,
    concurrency: int,
    secrets: Iterable[str],
    route: NetworkRoute,
) -> FastAnthropic:
    """The SDK's client; None for key and address lets the SDK find them.

    Raises `ConfigError` and `CredentialError` without any of the *secrets* in them.
    """
    hide = Redactor(secrets).hide
    http_client = open_http(concurrency, route, hide)
    try:
        return FastAnthropic.open(
            api_key=api_key,
            base_url=base_url,
            # The SDK would sleep inside our slots, and the limiter would not see the
            # requests it repeats.
            max_retries=0,
            open_telemetry=False,
            default_headers={"anthropic-version": API_VERSION},
            http_client=http_client,
        )
    except (anthropic.AnthropicError, ValueError) as error:
        raise CredentialError(
            "E216",
            f"the SDK does not accept the credentials: {hide(str(error))}",
            fix="correct that, or set ANTHROPIC_API_KEY",
        ) from error


def own_header(client: FastAnthropic, name: str) -> str:
    """The user's own header *name*, sent with every request; empty without one."""
    headers = {key.lower(): value for key, value in client.default_headers.items()}
    value = headers.get(name)
    return value if isinstance(value, str) else ""


def open_http(concurrency: int, route: NetworkRoute, hide: Callable[[str], str]) -> FastHttp:
    """The HTTP client for *route*; raises `ConfigError`, which *hide* has cleansed."""
    try:
        return _http(concurrency, route)
    except (ValueError, OSError, httpx2.InvalidURL) as error:
        # What `network_route` and `tls_context` let through: the system's own settings.
        raise ConfigError(
            "E217",
            f"the connection cannot be set up: {hide(str(error))}",
            fix="check the proxy settings and the certificates of this machine",
        ) from error


def _http(concurrency: int, route: NetworkRoute) -> FastHttp:
    # Made now: read in the first request, a missing file would fail that request, with
    # its money already set aside.
    context = tls_context(route)
    more: dict[str, Any] = {} if context is None else {"verify": context}
    return FastHttp(
        # The library would read every variable, also those that this run does not use.
        trust_env=route.system_proxy,
        proxy=route.proxy,
        **more,
        # Our own deadline bounds every attempt; a time-out of the connection pool would
        # only lose rows.
        timeout=httpx2.Timeout(None, connect=_CONNECT_S),
        limits=httpx2.Limits(
            max_connections=max(1000, concurrency),
            max_keepalive_connections=max(100, concurrency),
            keepalive_expiry=_KEEPALIVE_S,
        ),
        # A redirect would carry the key to any address that the server names.
        follow_redirects=False,
        mounts=DIRECT_IN_THE_CLEAR,
        event_hooks={"response": [cut_error_body]},
    )
