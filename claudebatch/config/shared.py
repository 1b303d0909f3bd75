"""The address of the server that several hosts share: its form, checked before anything
connects. No message repeats it, because a password may be in it.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import msgspec

from claudebatch.config.sections import SharedSection
from claudebatch.config.values import ValueReader
from claudebatch.core.errors import ConfigError
from claudebatch.storage.shared_server.settings import SharedSettings

VARIABLE = "CLAUDEBATCH_SHARED"
_SCHEMES = ("redis", "rediss", "unix")
_USUAL_PORT = 6379


def with_address(shared: str | SharedSection | None, url: str) -> SharedSection:
    """*shared* with the address *url*, whatever address it has."""
    section = shared if isinstance(shared, SharedSection) else SharedSection()
    return msgspec.structs.replace(section, url=url)


def resolve_shared(
    shared: str | SharedSection | None, values: ValueReader
) -> SharedSettings | None:
    """The server that *shared* names, or None. Raises `ConfigError`."""
    section = shared if isinstance(shared, SharedSection) else SharedSection(url=shared)
    if not section.url:
        return None
    parts = _address(section.url, values)
    where = parts.path
    if parts.scheme != "unix":
        where = f"{parts.hostname}:{parts.port or _USUAL_PORT}"
    ca = _certificates(section.ca, parts.scheme, values)
    return SharedSettings(section.url, where, account=section.account or "", ca=ca)


def _address(url: str, values: ValueReader) -> SplitResult:
    try:
        parts = urlsplit(url)
        # The port is read at last: one that is no number raises.
        valid = parts.scheme in _SCHEMES and bool(parts.hostname or parts.path.strip("/"))
        valid = valid and (parts.port is None or parts.port > 0)
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
    return parts


def _certificates(ca: str | None, scheme: str, values: ValueReader) -> str | None:
    # Without TLS nobody would look at them, and the user would believe otherwise.
    if ca is not None and (scheme != "rediss" or not Path(ca).is_file()):
        wrong = "there is no such file" if scheme == "rediss" else "the address is without TLS"
        raise ConfigError(
            "E875",
            f"{values.at('shared.ca')} names certificates, and {wrong}",
            fix="name a file of PEM certificates, and write rediss:// in the address",
        )
    return ca
