"""The address that requests go to: one that keeps the key to itself, and no proxy that
could read along.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult, urlsplit

from claudebatch.core.errors import ConfigError

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_WHOLE = "write it whole, as in https://api.anthropic.com"

DIRECT_IN_THE_CLEAR: Final[Mapping[str, None]] = {"http://": None}
"""The `mounts` of an HTTP client whose plain requests never go through a proxy of the
environment.

Only this machine is spoken to without TLS. `HTTP_PROXY` would carry key and prompts of
such a request to wherever it points, in the clear; those of a rehearsal as well. A
proxy for https sees a tunnel.
"""


def check_base_url(url: str) -> None:
    """Refuse an address that is none, or that would give a secret away; raises
    `ConfigError`, which never shows one.
    """
    parts = _parts(url)
    if "@" in url:
        # It would be sent along with the key, shown in errors and kept in the journal.
        raise ConfigError(
            "the base URL holds a user name or a password",
            fix="take them out; what a gateway wants to see goes into ANTHROPIC_CUSTOM_HEADERS",
        )
    if parts.query or parts.fragment:
        raise ConfigError("the base URL holds more than an address: ? or #", fix=_WHOLE)
    if not parts.hostname:
        raise ConfigError(f'"{url}" is no base URL', fix=_WHOLE)
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        raise ConfigError(
            f"{parts.scheme}://{parts.hostname} would send the key in the clear",
            fix="use an https base URL",
        )


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # looked at only when it is asked for
    except ValueError as error:
        raise ConfigError("the base URL is none", fix=_WHOLE) from error
    if not url.isprintable() or " " in url:
        raise ConfigError("the base URL holds a character that no address has", fix=_WHOLE)
    return parts
