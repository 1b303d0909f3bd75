"""The address of the server that several hosts share: its form, checked before anything
connects. No message repeats it, because a password may be in it.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from claudebatch.config.values import ValueReader
from claudebatch.core.errors import ConfigError
from claudebatch.storage.shared_server.settings import SharedSettings

VARIABLE = "CLAUDEBATCH_SHARED"
_SCHEMES = ("redis", "rediss", "unix")
_USUAL_PORT = 6379


def resolve_shared(url: str | None, values: ValueReader) -> SharedSettings | None:
    """The server at *url*; None where there is none. Raises `ConfigError`."""
    if not url:
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
        valid = parts.scheme in _SCHEMES and bool(parts.hostname or parts.path.strip("/"))
    except ValueError:
        valid = False
    if not valid or not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigError(
            "E873",
            f"{values.at('shared')} is not the address of a Redis server",
            fix="write redis://host:6379, or rediss://user:password@host:6379 with TLS; other "
            "characters of a password as %XX",
        )
    # Options of the query would reach the library: other time-outs, no check of TLS.
    if parts.query or parts.fragment:
        raise ConfigError(
            "E874", f"{values.at('shared')} has options after the address", fix="remove them"
        )
    where = parts.path if parts.scheme == "unix" else f"{parts.hostname}:{port or _USUAL_PORT}"
    return SharedSettings(url, where)
