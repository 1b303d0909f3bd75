"""The answers of a sample beside their prompts, a line each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile

from claudebatch.core.reports import SampledAnswer
from claudebatch.ui.tables.table import beginning, cell_width, table

# Where there is no screen: long enough to judge an answer, and one line in an editor.
_WIDTH = 120
_GAP = 2
_HEADER = ("prompt", "answer")
# Words that all prompts begin with say nothing of any; fewer are not worth a mark.
_SHARED = 12


def answers_table(rows: Sequence[SampledAnswer], *, width: int, more: int = 0) -> list[str]:
    """The lines of the table, at most *width* columns wide (0: no screen); *more* rows
    are not in it.
    """
    prompts = _without_beginning([_one_line(row.prompt) for row in rows])
    answers = [
        f"failed: {_one_line(row.answer)}" if row.failed else _one_line(row.answer) or "(empty)"
        for row in rows
    ]
    room = (width or _WIDTH) - _GAP
    # An answer of one word leaves its room to the prompts, and the reverse.
    longest = max(map(cell_width, (*prompts, _HEADER[0])))
    for_answers = max(room // 2, room - longest)
    for_prompts = room - min(for_answers, max(map(cell_width, (*answers, _HEADER[1]))))
    cells = [
        (beginning(prompt, for_prompts), beginning(answer, for_answers))
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    lines = table("<<", _HEADER, cells)
    return [*lines, f"and {more:,} more in the results"] if more else lines


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _without_beginning(prompts: list[str]) -> Iterable[str]:
    """*prompts* without the words that all of them begin with: those of a template."""
    if len(prompts) < 2:
        return prompts
    # What the first and the last in order have in common, all have.
    pairs = zip(min(prompts), max(prompts), strict=False)
    shared = "".join(first for first, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    # Whole words only, and something of each prompt has to stay.
    end = shared.rfind(" ") + 1
    if end < _SHARED:
        return prompts
    return [f"…{prompt[end:]}" for prompt in prompts]
