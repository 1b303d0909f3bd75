"""The address of the shared server, as the configuration has read it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SharedSettings:
    """Where the stores stand that all hosts use."""

    # A password may be in it: no error and no log shows it by printing the settings.
    url: str = field(repr=False)
    """`redis://`, `rediss://` (TLS), or `unix://`, with user and password."""
    shown: str
    """Host and port, without user and password."""
    account: str = ""
    """Whose limits, caps and answers are ours there; empty: of all who name none."""
    ca: str | None = None
    """A file of certificates that sign the server's; None: the system's."""
