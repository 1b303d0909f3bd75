"""A time by which something is wanted, as somebody asked for it."""

from __future__ import annotations

from claudebatch.core.frozen import value


@value
class AskedTime:
    """So long from now, or a moment."""

    seconds: float
    """From the moment at which it was asked for."""
    at_ms: int | None = None
    """The moment, in Unix milliseconds; None: only a length was given."""
    words: str = ""
    """Of a moment, as it was given: the same words again mean the same one."""
