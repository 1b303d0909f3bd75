"""A model that nobody has facts about is paced all the same."""

from __future__ import annotations

from claudebatch.config.schema import Config, LimitsSection
from claudebatch.models import Catalog
from claudebatch.stack import Pools


def test_an_unlisted_model_is_paced_by_the_tier():
    pool = Pools(Config(), Catalog.load(), now=lambda: 0.0).of("claude-of-tomorrow-9")
    assert pool._requests is not None


def test_without_limits_nothing_is_paced():
    config = Config(limits=LimitsSection(tier="none"))
    assert Pools(config, Catalog.load(), now=lambda: 0.0).of("claude-of-tomorrow-9")._requests is None
