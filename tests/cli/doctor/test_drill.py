"""The crash drill holds where the product does, and fails where something is lost or
asked again.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from claudebatch.cli.doctor import drill as drills
from claudebatch.cli.doctor.drill import ROWS, DrillFailed, DrillRequests, _Drill


@pytest.fixture
def made(tmp_path: Path) -> _Drill:
    async def sleep(_: float) -> None: ...

    drill = _Drill(
        tmp_path,
        "http://127.0.0.1:9",
        DrillRequests(Counter(str(row) for row in range(ROWS))),
        {},
        sleep,
    )
    drill._output.write_text("".join(lines(range(ROWS))))
    return drill


def lines(rows: range) -> list[str]:
    return [json.dumps({"id": str(row)}) + "\n" for row in rows]


def judge(drill: _Drill, *, deaths: int = 2, kept: tuple[str, ...] = ()) -> None:
    drill._check(drill._still_there(list(kept)), deaths)


def test_an_undisturbed_run_passes(made: _Drill) -> None:
    judge(made)


def test_a_lost_row_is_found(made: _Drill) -> None:
    made._output.write_text("".join(lines(range(ROWS - 1))))
    with pytest.raises(DrillFailed, match=f"{ROWS - 1} results"):
        judge(made)


def test_rows_out_of_order_are_found(made: _Drill) -> None:
    made._output.write_text("".join(reversed(lines(range(ROWS)))))
    with pytest.raises(DrillFailed, match="not in order"):
        judge(made)


def test_a_result_that_changed_after_a_death_is_found(made: _Drill) -> None:
    with pytest.raises(DrillFailed, match="gone or changed"):
        judge(made, kept=('{"id": "0", "text": "as it was"}',))


def test_a_written_row_that_is_asked_for_again_is_found(made: _Drill) -> None:
    made._settled = {"7": 1}
    made._asked.prompts["7"] += 1
    with pytest.raises(DrillFailed, match="1 rows were asked for again"):
        judge(made)


def test_more_requests_again_than_were_in_flight_are_found(made: _Drill) -> None:
    for row in range(2 * drills.IN_FLIGHT + 1):
        made._asked.prompts[str(row)] += 1
    with pytest.raises(DrillFailed, match="17 requests"):
        judge(made)
