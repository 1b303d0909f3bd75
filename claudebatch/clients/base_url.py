"""The address that requests go to: it must not expose the key, and no proxy may read
requests in the clear.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult, urlsplit

from claudebatch.core.errors import ConfigError

API_HOST: Final = "api.anthropic.com"
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_WHOLE = "write it whole, as in https://api.anthropic.com"
# The one place that it can come from.
_NAME = "ANTHROPIC_BASE_URL"

DIRECT_IN_THE_CLEAR: Final[Mapping[str, None]] = {"http://": None}
"""The `mounts` of an HTTP client whose plain requests never go through a proxy of the
environment.

Only addresses of this machine may go without TLS. `HTTP_PROXY` would carry key and
prompts of such a request in the clear to another host, even in a rehearsal. A proxy for
https sees an encrypted tunnel and stays allowed.
"""


def is_loopback(host: str) -> bool:
    """Whether *host* is this machine."""
    name = host.strip("[]").lower()
    return name in _LOOPBACK or (name.startswith("127.") and name.replace(".", "").isdigit())


def address_of(base_url: str | None) -> str:
    """One name for each API, however its *base_url* is written; empty: Anthropic's."""
    if not base_url or urlsplit(base_url).hostname == API_HOST:
        return ""
    return base_url.rstrip("/")


def check_base_url(url: str) -> None:
    """Refuse a malformed address, or one that would expose a secret; raises
    `ConfigError`, which never quotes a secret.
    """
    parts = _parts(url)
    if "@" in url:
        # It would be sent along with the key, shown in errors and stored in the
        # journal.
        raise ConfigError(
            "E200",
            f"{_NAME}: the base URL contains a user name or password",
            fix="remove them; headers for a gateway go into ANTHROPIC_CUSTOM_HEADERS",
        )
    if parts.query or parts.fragment:
        raise ConfigError("E201", f"{_NAME}: the base URL contains ? or #", fix=_WHOLE)
    if (path := parts.path.rstrip("/")).endswith(("/v1", "/v1/messages")):
        # Every request would go to /v1/v1/messages, and every row would get a 404.
        shorter = url[: url.rindex("/v1")]
        raise ConfigError(
            "E202",
            f"{_NAME}: the base URL ends in {path[path.rindex('/v1') :]}, which is added "
            f"to it anyway",
            fix=f"write it without, as {shorter or _WHOLE}",
        )
    if not parts.hostname:
        raise ConfigError("E203", f'{_NAME}: "{url}" is not a URL', fix=_WHOLE)
    # The simulator and local gateways speak plain HTTP; it never leaves the machine.
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        raise ConfigError(
            "E204",
            f"{_NAME}: {parts.scheme}://{parts.hostname} is not encrypted: your key would be "
            "readable",
            fix="use an https base URL",
        )


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # `urlsplit` checks the port only on access
    except ValueError as error:
        raise ConfigError(
            "E205", f"{_NAME}: the base URL is not a valid URL", fix=_WHOLE
        ) from error
    if not url.isprintable() or " " in url:
        raise ConfigError(
            "E206",
            f"{_NAME}: the base URL contains a space or an unprintable character",
            fix=_WHOLE,
        )
    return parts
