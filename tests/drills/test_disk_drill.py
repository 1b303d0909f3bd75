"""The disk drill in its short form: every file, every kind of failure, once and for
ever.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.drills import kernel
from tests.drills.damage import WAYS
from tests.drills.disk import DAMAGES, LIMITS, sample
from tests.drills.faults import FILES, KINDS
from tests.drills.test_crash_drill import drill


@pytest.mark.skipif(
    not kernel.available(),
    reason="no Linux 5.5 or later: nobody can let another's system calls fail",
)
def test_a_failing_disk_costs_no_answer(tmp_path: Path):
    figures = drill("disk", tmp_path)
    assert figures["cases"] == 2 * len(FILES) * len(KINDS) + len(LIMITS) + DAMAGES * len(WAYS)
    assert figures["struck"] > figures["cases"] * 0.9
    assert figures["answers_asked_again"] == figures["problems"] == 0


def test_the_sample_has_every_file_kind_and_mode():
    import random

    faults = [*sample(dict.fromkeys(FILES, 5), random.Random(1), 1)]
    assert len({(fault.file, fault.kind, fault.for_ever) for fault in faults}) == 2 * len(
        FILES
    ) * len(KINDS)
