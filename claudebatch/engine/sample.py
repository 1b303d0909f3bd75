"""A finished sample: its answers beside their prompts, and what the rest of the rows
would cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

from claudebatch.core.domain import Call, Pico
from claudebatch.core.jsonl import decode
from claudebatch.core.reports import RestOfRun, SampledAnswer
from claudebatch.engine.open_run import OpenRun
from claudebatch.engine.ratio_estimate import RatioSums
from claudebatch.engine.row_feed import InputSources
from claudebatch.setup.run_options import RunOptions
from claudebatch.setup.run_setup import RunSetup
from claudebatch.storage.journal import RowRef
from claudebatch.storage.journal.newest_results import newest_line
from claudebatch.storage.journal.rows import costs_of_rows, first_rows

# A prompt may be a book, and a line of a table shows its beginning.
_MOST_CHARACTERS = 2000


class SampleReview:
    """Reads the rows of a sample again, with what became of them."""

    def __init__(self, options: RunOptions, run: OpenRun, run_setup: RunSetup) -> None:
        self._options = options
        self._run = run
        self._run_setup = run_setup

    def answers(self, most: int) -> Iterator[SampledAnswer]:
        """The first *most* of them that have a result, in the order of the input."""
        journal = self._run.folder.journal
        with closing(self._sources()) as sources:
            for ref in first_rows(journal, min(most, self._run.limit or 0)):
                call, line = _call(sources, ref), newest_line(journal, ref.row)
                if call is not None and line is not None:
                    yield _shown(call, decode(line))

    def rest(self, weigh: Callable[[Call], Pico]) -> RestOfRun | None:
        """What the other rows would take, as the costs of these say; noted, so that the
        whole run can hold its rows against it. None where they say nothing, as those of
        a model without a price.
        """
        folder, sums = self._run.folder, RatioSums()
        drawn = folder.meta("drawn")
        with closing(self._sources()) as sources:
            for ref, cost in costs_of_rows(folder.journal, self._run.limit or 0):
                call = _call(sources, ref)
                # A sample of those rows alone that came through would be another one.
                if call is None or cost is None:
                    return None
                sums.add(weigh(call), cost)
        estimate = sums.estimate()
        if estimate is None or drawn is None:
            return None
        # Equal requests are paid for once.
        alone = 1.0 if self._options.no_cache else folder.meta("requests") / drawn["rows"]
        rows = folder.meta("drawn_from") - sums.rows
        if rows <= 0:
            return None
        weight = round(max(drawn["weight"] - sums.weight, 0) * alone)
        cost, low, high = estimate.of_rest(rows, weight)
        folder.note(
            sample={
                "job": self._run.job,
                "of": self._options.selection.drawn_from,
                "rows": estimate.rows,
                "weight": estimate.weight,
                "ratio": estimate.ratio,
                "spread": estimate.spread,
                "cost": sums.cost,
                "by_batch": self._run_setup.settings.batches.used,
                "rest_rows": rows,
                "rest_weight": weight,
            }
        )
        seconds = drawn["seconds"] * rows / drawn["rows"] if drawn["rows"] else None
        return RestOfRun(rows, cost, low, high, seconds)

    def _sources(self) -> InputSources:
        return InputSources(self._run.files, self._options.input_names, self._run_setup)


def _call(sources: InputSources, ref: RowRef) -> Call | None:
    return sources.call(ref, sources.line(ref))


def _shown(call: Call, line: dict[str, Any]) -> SampledAnswer:
    failed = line["status"] != "succeeded"
    answer = line["error"]["message"] if failed else line["text"]
    prompt = _text(call.prompt.params["messages"][-1]["content"])
    return SampledAnswer(prompt[:_MOST_CHARACTERS], answer[:_MOST_CHARACTERS], failed)


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return " ".join(
        block["text"] if block.get("type") == "text" else f"[{block.get('type')}]"
        for block in content
    )
