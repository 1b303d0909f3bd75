"""Connections to the shared server. The one file that imports redis-py."""

from __future__ import annotations

from typing import Any

from claudebatch.core.errors import ConfigError
from claudebatch.storage.shared_server.settings import SharedSettings

# A server in the same network answers in a millisecond. A longer wait would hold up all
# rows without a word on the screen.
_CONNECT_S = 3.0
_ANSWER_S = 5.0
# One caller per pool and some that end attempts: more would only wait at the server.
_MOST_CONNECTIONS = 32


def connected(settings: SharedSettings) -> tuple[Any, Any]:
    """redis-py's errors, and a client that connects when it is first used. Raises
    `ConfigError` without the package.
    """
    try:
        # An extra, and 100 ms that only a shared run has to pay.
        from redis import asyncio as redis_asyncio  # noqa: PLC0415
        from redis import exceptions  # noqa: PLC0415
        from redis.asyncio.retry import Retry  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            "E872",
            "shared names a Redis server, and the package redis is not installed",
            fix="pip install 'claudebatch[redis]'",
        ) from error
    # Not redis-py's own retries: they wait without a word, and hold up a drain.
    connections = redis_asyncio.BlockingConnectionPool.from_url(
        settings.url,
        max_connections=_MOST_CONNECTIONS,
        timeout=_ANSWER_S,
        socket_connect_timeout=_CONNECT_S,
        socket_timeout=_ANSWER_S,
        retry=Retry(NoBackoff(), 0),
        client_name="claudebatch",
        # Beside the system's own, which SSL_CERT_FILE replaces.
        **({} if settings.ca is None else {"ssl_ca_certs": settings.ca}),
    )
    return exceptions, redis_asyncio.Redis.from_pool(connections)
