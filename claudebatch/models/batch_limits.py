"""The limits of the Message Batches API by usage tier: pools of their own, beside those
of requests that are sent at once, for all models together.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import msgspec

from claudebatch.models.catalog import read_data

_LOWEST = "start"


class BatchTier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one tier may do."""

    requests_per_minute: int
    """To all of the batch endpoints."""
    queued_requests: int
    """Of all batches together, that the API has not processed."""


def batch_tier(tier: str) -> BatchTier:
    """The limits of *tier*; the lowest ones where it is not known, or none is to be
    kept: more than the lowest queue needs a word of the user.
    """
    tiers = _tiers()
    return tiers.get(tier, tiers[_LOWEST])


@cache
def _tiers() -> Mapping[str, BatchTier]:
    return msgspec.json.decode(read_data("batch_limits.json"), type=dict[str, BatchTier])
