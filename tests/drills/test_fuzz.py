"""The short form of the fuzz drill; `python -m tests.drills.fuzz --seconds N` is the
long one.
"""

from __future__ import annotations

import random

import pytest

from tests.drills.fuzz import drill
from tests.drills.fuzz_targets import TARGETS
from tests.support.mutate import mutated

CASES = {"lines": 3000, "config": 60, "cache": 20, "ledger": 12, "journal": 12, "files": 25}


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_that_is_nearly_right_breaks_it(name: str) -> None:
    assert drill(name, seed=1_000_000, cases=CASES[name]) == CASES[name]


def test_a_case_can_be_made_again_from_its_number_and_most_differ_from_their_seed() -> None:
    seed = b'{"prompt": "Say hi"}'
    made = [mutated(seed, random.Random(number)) for number in range(200)]
    assert made == [mutated(seed, random.Random(number)) for number in range(200)]
    assert sum(case != seed for case in made) > 180
    assert len(set(made)) > 150
