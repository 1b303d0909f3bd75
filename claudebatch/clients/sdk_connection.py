"""The SDK's client as we configure it, and the transport's exceptions by their meaning.

Imports `anthropic`, `aiohttp` and `httpx2`: a second of CPU and 86 MB. Only `client.py`
imports this, and only once something is to be sent.
"""

from __future__ import annotations

from collections.abc import Iterable

import aiohttp
import anthropic
import httpx2

from claudebatch.clients.base_url import DIRECT_IN_THE_CLEAR
from claudebatch.clients.fast_transport import FastAnthropic, FastHttp
from claudebatch.clients.redaction import Redactor
from claudebatch.clients.response_body import cut_error_body
from claudebatch.clients.wire_format import API_VERSION
from claudebatch.core.errors import CredentialError

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

# The SDK wraps only exceptions up to the response's head.
BROKEN_OFF = (httpx2.HTTPError, httpx2.StreamError, aiohttp.ClientError, OSError)
"""Exceptions of the transport while a body is read."""

STATUS_ERROR = anthropic.APIStatusError
CONNECTION_ERROR = anthropic.APIConnectionError


def open_sdk(
    *, api_key: str | None, base_url: str | None, concurrency: int, secrets: Iterable[str]
) -> FastAnthropic:
    """The SDK's client; None for key and address lets the SDK find them.

    Raises `CredentialError` without any of the *secrets* in it.
    """
    try:
        return FastAnthropic(
            api_key=api_key,
            base_url=base_url,
            # The SDK would sleep inside our slots, and the limiter would not see the
            # requests it repeats.
            max_retries=0,
            open_telemetry=False,
            default_headers={"anthropic-version": API_VERSION},
            http_client=_http(concurrency),
        )
    except (anthropic.AnthropicError, ValueError) as error:
        reason = Redactor(secrets).hide(str(error))
        raise CredentialError(
            f"the SDK refuses the credentials: {reason}", fix="set ANTHROPIC_API_KEY"
        ) from error


def _http(concurrency: int) -> FastHttp:
    return FastHttp(
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
