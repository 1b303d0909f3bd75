"""The crash drill over message batches in its short form; all steps:
`python -m tests.drills.batches`.
"""

from __future__ import annotations

import pytest

from claudebatch.simulator import http
from tests.drills.batches import play


@pytest.mark.parametrize("deaths", [(60,), (150, 90)], ids=str)
def test_killed_at_a_durable_step_a_run_of_batches_loses_and_repeats_nothing(
    deaths: tuple[int, ...],
) -> None:
    died, broken = play(*deaths)
    assert (died, broken) == (len(deaths), [])
    assert http.MARK, "what comes after it in this process is marked again"
