"""The hint at the cap: a smaller `--max-tokens`, where it lets more rows fit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from claudebatch.core.domain import Call, Usage
from claudebatch.core.events import AttemptFinished
from claudebatch.engine.more_room import MoreRoom, Room, RowPrice, smaller_max_tokens
from tests.support.scripted import HAIKU, make_call

DOLLAR = 10**12
# A tenth of a cent for the input, a cent for 1,000 tokens, a fifth of one in fact.
ROW = RowPrice(input=DOLLAR // 1000, token=DOLLAR // 100_000, expected=DOLLAR // 500)


@pytest.mark.parametrize(
    ("rows", "left", "longest", "hint"),
    [
        # A row of 8,192 tokens may cost 8.3 cents, and 8 are left. With 5,000 it may
        # cost 5.1, and is expected to take 0.2.
        ({ROW: 100}, 8 * DOLLAR // 100, 5000, Room(5000, 15)),
        ({ROW: 100}, 8 * DOLLAR // 100, 300, Room(300, 39)),
        # All that are left: no smaller number is proposed than is needed for it.
        ({ROW: 3}, 8 * DOLLAR // 100, 300, Room(6000, 3)),
        # Nothing that answers would still fit into.
        ({ROW: 100}, 8 * DOLLAR // 100, 8192, None),
        # The input alone does not fit, or the cap is passed.
        ({ROW: 100}, DOLLAR // 2000, 300, None),
        ({ROW: 100}, -DOLLAR, 300, None),
        ({}, DOLLAR, 300, None),
        # The cheap rows go first, the others do not fit even so.
        ({ROW: 1, ROW._replace(input=DOLLAR): 9}, 8 * DOLLAR // 100, 300, Room(6000, 1)),
    ],
)
def test_the_largest_number_with_which_most_rows_fit(
    rows: dict[RowPrice, int], left: int, longest: int, hint: Room | None
) -> None:
    assert smaller_max_tokens(rows, left=left, longest=longest, present=8192) == hint


def worst(call: Call) -> int:
    return DOLLAR // 1000 + call.size.output_bound * DOLLAR // 100_000


def collected(*lengths: int, max_tokens: int = 8192, **params: object) -> MoreRoom:
    room = MoreRoom(worst, lambda call: DOLLAR // 500, max_tokens=8192)
    for length in lengths:
        usage = Usage(output_tokens=length)
        room(AttemptFinished(HAIKU, "haiku", usage, 7, None, False))
    call = make_call()
    prompt = replace(call.prompt, params={**call.prompt.params, "max_tokens": max_tokens, **params})
    size = replace(call.size, output_bound=max_tokens)
    for _ in range(50):
        room.refused(replace(call, prompt=prompt, size=size))
    return room


def test_answers_of_this_run_say_how_long_they_may_be() -> None:
    left = 8 * DOLLAR // 100
    found = collected(*[300] * 60).hint(left)
    assert found is not None
    assert 450 <= found.max_tokens <= 600
    assert found.rows >= 30
    longer = collected(*[300] * 60, *[3000] * 10).hint(left)
    assert longer is not None
    assert longer.max_tokens == 5000


def test_where_it_would_not_help_nothing_is_said() -> None:
    left = 8 * DOLLAR // 100
    # Nobody knows how long answers are; or all are as long as they may be.
    assert collected(300, 300).hint(left) is None
    assert collected(*[8192] * 60).hint(left) is None
    # Rows that bring their own number do not follow the option.
    assert collected(*[300] * 60, max_tokens=4000).hint(left) is None
    thinking = {"type": "enabled", "budget_tokens": 4000}
    assert collected(*[300] * 60, thinking=thinking).hint(left) is None
