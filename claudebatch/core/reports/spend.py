"""Spend, line by line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields

from claudebatch.core.domain import Pico, Usage


@dataclass(frozen=True, slots=True)
class SpendLine:
    """Spend of one run, model, day, tag or rule."""

    label: str
    attempts: int = 0
    answers: int = 0
    usage: Usage = field(default_factory=Usage)
    """Tokens and searches of its answers."""
    spent: Pico = 0
    unknown: Pico = 0
    """Worst case of the attempts of unknown outcome."""
    note: str = ""
    unknown_attempts: int = 0
    held: Pico = 0
    """Set aside by runs that go on, or that died and are not settled yet."""
    in_batches: int = 0
    """Of the held: of runs whose batches are with the API."""
    unpriced: int = 0
    """Answers of models without a known price: what they cost is missing in `spent`."""
    cached: int = 0
    """Rows answered out of the response cache."""
    shared: int = 0
    """Rows that shared another row's request."""
    saved_cache: Pico = 0
    """The price of the cached and shared rows, had they been asked."""
    saved_routing: Pico = 0
    """The additional cost of the routed rows at the most expensive model that
    their run's rules could choose.
    """
    saved_prompt: Pico = 0
    """What the answers would have cost more without the API's prompt cache."""
    prompt_writes: Pico = 0
    """What the tokens cost that were written to it."""
    complete: int = 0
    """Of the answers, with the next three: how they ended."""
    cut_off: int = 0
    refused: int = 0
    empty: int = 0
    models: tuple[str, ...] = ()
    """Of a run: its models, the one that cost most first."""
    output: str = ""
    """Of a run: its results file."""

    @property
    def unclassified(self) -> int:
        """Answers of before endings were noted."""
        return self.answers - self.complete - self.cut_off - self.refused - self.empty

    @property
    def input_tokens(self) -> int:
        """Uncached input."""
        return self.usage.input_tokens

    @property
    def output_tokens(self) -> int:
        """Of the answers."""
        return self.usage.output_tokens

    @property
    def web_searches(self) -> int:
        """Of the answers."""
        return self.usage.web_search_requests


# Every number of a line: one that is forgotten here would be missing in totals.
_NOT_NUMBERS = ("label", "note", "usage", "models", "output")
_SUMMED = tuple(field.name for field in fields(SpendLine) if field.name not in _NOT_NUMBERS)


def spend_sum(lines: Iterable[SpendLine], label: str = "total", note: str = "") -> SpendLine:
    """All *lines* as one."""
    lines = tuple(lines)
    outputs = {line.output for line in lines}
    return SpendLine(
        label,
        note=note,
        models=tuple(dict.fromkeys(model for line in lines for model in line.models)),
        output=outputs.pop() if len(outputs) == 1 else "",
        usage=sum((line.usage for line in lines), Usage()),
        **{name: sum(getattr(line, name) for line in lines) for name in _SUMMED},
    )
