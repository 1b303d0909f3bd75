"""The rate limits that an answer of the API states, refusals included."""

from __future__ import annotations

from claudebatch.core.frozen import value


@value
class LimitReading:
    """One limit in the `anthropic-ratelimit-*` headers of one answer."""

    limit: int | None = None
    remaining: int | None = None


@value
class Limits:
    """The limit headers of one answer; a gateway may have stripped any of them."""

    requests: LimitReading = LimitReading()
    input_tokens: LimitReading = LimitReading()
    output_tokens: LimitReading = LimitReading()
