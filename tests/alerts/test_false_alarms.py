"""False alarms and spikes that are told, over random streams: the short form of `python
-m benchmarks.alerts`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.alerts import CALM, JUMPS, OURS, false_alarms, told

PAGE = (Path(__file__).parents[2] / "docs/alerts.md").read_text(encoding="utf-8")
HEAVY = {"log-normal, sigma 1.5", "two models, 1 in 50 rows 20 times as dear"}
"""Streams with so heavy a tail that one hour in some has an alert: the page tells how
many.
"""
RUNS = 4


@pytest.mark.parametrize("name", sorted(name for name in CALM if "20 a second" not in name))
def test_an_hour_without_a_spike_has_no_alert(name: str) -> None:
    assert false_alarms(name, OURS, RUNS) <= (1 if name in HEAVY else 0)


@pytest.mark.parametrize("name", sorted(name for name in JUMPS if " x 10," in name))
def test_a_tenfold_jump_is_told_within_three_windows(name: str) -> None:
    times = told(JUMPS[name], OURS, RUNS)
    assert len(times) == RUNS
    assert max(times) < 75


def test_the_page_tells_of_every_stream() -> None:
    rows = set(re.findall(r"^\| ([^|]+?) \|", PAGE, re.MULTILINE))
    assert set(CALM) | set(JUMPS) <= rows
