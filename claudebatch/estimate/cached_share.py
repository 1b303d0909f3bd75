"""What of a row's input the API's prompt cache is expected to write and to read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from claudebatch.core.domain import BILLED_KINDS, Pico, Usage
from claudebatch.estimate.forecast import ExpectedTokens
from claudebatch.estimate.request_shape import CachedShare, RequestShape
from claudebatch.layers.prompt_caching.mark_plan import HOUR_S, MANY_ROWS

# For five minutes, and for an hour.
_WRITES = [kind.name for kind in BILLED_KINDS if kind.group == "cache_creation"]
# As documented of batches: between so many are read, as it happens.
FEWEST_HITS, MOST_HITS = 0.30, 0.98
USUAL_HITS = (FEWEST_HITS + MOST_HITS) / 2
NO_SHARE = CachedShare(0.0, 0.0, 0.0)


class KeptBeginning(NamedTuple):
    """A beginning of a row that is kept."""

    tokens: int
    """To its end."""
    ttl_s: int
    rows: int
    """Those that share it."""


def share_of(kept: Iterable[KeptBeginning], input_tokens: int) -> CachedShare | None:
    """The share of one row of *input_tokens*, whose *kept* beginnings come the shortest
    first; None where nothing is kept.

    A beginning is written once for all of its rows, so each of them writes
    tokens / rows of what is new in it, and reads the rest.
    """
    above, minutes, hour = 0, 0.0, 0.0
    for one in kept:
        new = (one.tokens - above) / one.rows
        if one.ttl_s == HOUR_S:
            hour += new
        else:
            minutes += new
        above = one.tokens
    if not above:
        return None
    # By another rule of thumb than the row's own tokens: it may not be more than those.
    whole = max(input_tokens, above)
    read = (above - minutes - hour) / whole
    return CachedShare(minutes / whole, hour / whole, read)


def in_batch(share: float, hits: float) -> CachedShare:
    """Of a request in a batch that marks *share* of its input, what is written and read
    where *hits* of it, a share, is read.
    """
    return CachedShare(0.0, share * (1 - hits), share * hits)


def with_cache(
    expected: ExpectedTokens, share: CachedShare, *, read: bool = True
) -> ExpectedTokens:
    """*expected* with *share* of its input written and read; without *read*, what would
    be read is input like any other.
    """
    usage = expected.usage
    total = usage.total_input
    minutes, hour = round(total * share.minutes), round(total * share.hour)
    reads = min(round(total * share.read), total - minutes - hour) if read else 0
    writes: dict[str, Any] = dict(zip(_WRITES, (minutes, hour), strict=True))
    split = Usage(
        input_tokens=total - minutes - hour - reads,
        cache_read_input_tokens=reads,
        **writes,
        inference_geo=usage.inference_geo,
        speed=usage.speed,
    )
    return ExpectedTokens(split, expected.output_tokens, expected.web_searches)


def share_in_batch(kept: Sequence[KeptBeginning], shape: RequestShape) -> float:
    """Of a row's input, what a batch marks."""
    # Its own marks are sent as they are: what they brought before is expected again.
    if shape.caches:
        return 0.0
    tokens = max((one.tokens for one in kept if one.rows >= MANY_ROWS), default=0)
    return tokens / max(shape.input_estimate, tokens, 1)


class MarkedWorst(NamedTuple):
    """The worst cases of a row with marks for five minutes and for an hour, at once,
    and in a batch; None: its own marks are in its worst case.
    """

    minutes: Pico | None = None
    hour: Pico | None = None
    batch: Pico | None = None

    def of(self, kept: Sequence[KeptBeginning], worst: Pico | None) -> Pico | None:
        """That with the marks that end *kept*; without any, *worst*."""
        longest = max(one.ttl_s for one in kept)
        marked = self.hour if longest == HOUR_S else self.minutes
        return worst if marked is None else marked
