"""Whether a model that a user names can be asked, said before anything is sent: an
unknown, a misspelt or a retired one is a 404 for each of its rows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache

import msgspec

from claudebatch.core.errors import Problem
from claudebatch.models.catalog import Catalog, ModelFacts, read_data

ALLOW = "--allow-unknown-model"
_SEND = f"claudebatch models lists those of Claude; {ALLOW} sends the name as it is"
_MOST_KEPT = 1000
_MOST_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Retired:
    """Models that no longer answer and have no facts any more."""

    names: tuple[str, ...]
    line: str | None
    """The line whose newest model takes their place."""
    on: str | None
    """The day of their retirement, as YYYY-MM-DD, where it is certain."""


class ModelNames:
    """Judges names of models on one day."""

    def __init__(
        self,
        catalog: Catalog,
        *,
        on: date,
        vouched: Collection[str] = (),
        allow_unknown: bool = False,
    ) -> None:
        """*vouched* are the names whose price or facts the user has written down;
        *allow_unknown* lets every unknown name pass.
        """
        self._catalog = catalog
        self._on = on
        self._vouched = frozenset(vouched)
        self._allow_unknown = allow_unknown
        # Mutable: a million lines name a handful of models.
        self._judged: dict[str, Problem | None] = {}

    def of_line(self, model: str) -> Problem | None:
        """Why a line's *model* cannot be asked, with the option that reads it as
        another one; None if it can.
        """
        try:
            return self._judged[model]
        except KeyError:
            pass
        problem = self._judge(model, in_line=True)
        # Of names without end only the first ones are kept.
        if len(self._judged) < _MOST_KEPT:
            self._judged[model] = problem
        return problem

    def problem(self, model: str) -> Problem | None:
        """Why *model*, named on the command line or in the configuration, cannot be
        asked; None if it can.
        """
        return self._judge(model, in_line=False)

    def _judge(self, model: str, *, in_line: bool) -> Problem | None:
        name = self._catalog.resolve(model)
        if name in self._vouched:
            return None
        if self._catalog.listed(name):
            facts = self._catalog.facts(name)
            gone = Retired((name,), facts.line, facts.retires_at)
            return _retired(self._catalog, model, gone, in_line) if self._over(facts) else None
        past = _gone().get(name.lower())
        if past is not None:
            return _retired(self._catalog, model, past, in_line)
        return None if self._allow_unknown else _unknown(self._catalog, model, in_line)

    def _over(self, facts: ModelFacts) -> bool:
        return facts.retired(self._on) and facts.retires_for_sure


def _retired(catalog: Catalog, model: str, gone: Retired, in_line: bool) -> Problem:
    since = f" on {gone.on}" if gone.on else ""
    newest = catalog.newest(gone.line) if gone.line else None
    fix = f'use "{newest}"' if newest else "claudebatch models lists those that answer"
    mapped = f", or --model-map {model}={gone.line}" if newest and in_line else ""
    return Problem("E433", f'the model "{model}" was retired{since}', fix + mapped)


def _unknown(catalog: Catalog, model: str, in_line: bool) -> Problem:
    # A line's name may be a megabyte long.
    short = model if len(model) <= _MOST_SHOWN else model[:_MOST_SHOWN] + "…"
    meant = catalog.suggest(model)
    if "embed" in model.lower():
        fix = "Claude makes no embeddings: leave these requests out"
    elif meant is not None:
        mapped = f" --model-map {short}={meant} reads it so;" if in_line else ""
        fix = f'did you mean "{meant}"?{mapped} {ALLOW} sends it as it is'
    elif "claude" in model.lower():
        fix = f"claudebatch models lists the known ones; {ALLOW} sends it as it is"
    else:
        fix = f"name a Claude model, or --model-map {short}=haiku" if in_line else _SEND
    return Problem("E434", f'unknown model "{short}"', fix)


@cache
def _gone() -> Mapping[str, Retired]:
    rows = msgspec.json.decode(read_data("retired.json"), type=tuple[Retired, ...])
    return {name: row for row in rows for name in row.names}
