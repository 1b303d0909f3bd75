"""Every claim about the order of the layers holds for the stack as it is built."""

from __future__ import annotations

import pytest

from tests.setup.claims import CLAIMS, a_cache_hit_takes_no_money_no_capacity_and_no_network
from tests.support.virtual import virtual


@virtual
async def test_a_cache_hit_takes_no_money_no_capacity_and_no_network():
    await a_cache_hit_takes_no_money_no_capacity_and_no_network()


@pytest.mark.parametrize("claim", CLAIMS)
@virtual
async def test_the_stack_keeps_its_claim_that(claim: str):
    await CLAIMS[claim]()
