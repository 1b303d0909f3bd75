"""Every scenario file beside this one comes out within its ranges."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenarios.figures import FIGURES
from tests.scenarios.play import play
from tests.scenarios.scenario import Case, cases

CASES = [case for path in sorted(Path(__file__).parent.glob("*.yaml")) for case in cases(path)]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_it_comes_out_as_it_says(case: Case):
    played = play(case)
    found = {name: FIGURES[name](played) for name in case.expect}
    assert {
        name: value for name, value in found.items() if not _within(value, case.expect[name])
    } == {}, found


def _within(value: float, wanted: tuple[float | None, float | None]) -> bool:
    least, most = wanted
    return (least is None or value >= least) and (most is None or value <= most)
