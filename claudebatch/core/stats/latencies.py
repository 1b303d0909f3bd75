"""Percentiles of a million latencies in a few hundred numbers."""

from __future__ import annotations

import math
from collections import Counter

# Buckets one per cent wide: finer than two runs of the same input ever agree, and a
# list of every latency would grow with the run.
_STEP = math.log(1.01)


class Latencies:
    """Counts latencies by size; another thread may read them."""

    def __init__(self) -> None:
        # Mutable, changed by `add` only: answers by bucket.
        self._buckets: Counter[int] = Counter()

    def add(self, latency_ms: int) -> None:
        """Count one answer."""
        # One is added because the logarithm of an answer in no time does not exist.
        self._buckets[round(math.log(latency_ms + 1) / _STEP)] += 1

    def percentile(self, share: float) -> int:
        """The latency in milliseconds that *share* of the answers stayed below, to one
        per cent.
        """
        # A copy: the event loop may add a bucket while a display reads.
        buckets = dict(self._buckets)
        rank = share * sum(buckets.values())
        for bucket in sorted(buckets):
            rank -= buckets[bucket]
            if rank <= 0:
                return round(math.exp(bucket * _STEP)) - 1
        return 0
