"""A model that nobody has facts about is paced all the same."""

from __future__ import annotations

import pytest

from claudebatch.models.catalog import Catalog
from claudebatch.setup.pools import Pools
from tests.support.limiting import rates
from tests.support.settings import settings_of

UNKNOWN = "claude-of-tomorrow-9"


def limits_of(model: str, **limits: str) -> tuple[float | None, float | None, float | None]:
    settings = settings_of(limits=limits)
    return rates(Pools(settings.limits, Catalog.load(), now=lambda: 0.0).of(model))


@pytest.mark.parametrize("tier", ["auto", "start", "build", "scale"])
def test_an_unlisted_model_is_paced_by_the_tier_like_its_slowest(tier: str):
    found = limits_of(UNKNOWN, tier=tier)
    assert None not in found
    assert all(a <= b for a, b in zip(found, limits_of("claude-haiku-5-5", tier=tier), strict=True))


def test_headroom_is_taken_off_all_limits():
    whole, most = limits_of(UNKNOWN), limits_of(UNKNOWN, headroom="10%")
    assert most == pytest.approx([0.9 * limit for limit in whole])


def test_without_limits_nothing_is_paced():
    assert limits_of(UNKNOWN, tier="none") == (None, None, None)
