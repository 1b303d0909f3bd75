"""Every place outside the lines where a model is named: checked, and short names made
whole, before anything else is done with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from claudebatch.config.settings import Settings
from claudebatch.core.errors import ConfigError
from claudebatch.inputs import LineEdits
from claudebatch.models.catalog import Catalog
from claudebatch.models.model_names import ModelNames
from claudebatch.routing.rules import Rule


class WholeNames(NamedTuple):
    """What `NamedModels` holds, with whole names."""

    settings: Settings
    rules: tuple[Rule, ...]
    override: str | None
    edits: LineEdits


@dataclass(frozen=True, slots=True)
class NamedModels:
    """The settings and options that name models."""

    settings: Settings
    rules: tuple[Rule, ...]
    override: str | None
    """`--model`."""
    edits: LineEdits

    def check(self, names: ModelNames, where: Callable[[str], str]) -> None:
        """Raise `ConfigError` for a model that cannot be asked, with its place."""
        for key, place, model in self._places():
            problem = names.problem(model)
            if problem is not None:
                line = where(key) if key else ""
                before = f"{line}: {place}" if line else place
                raise ConfigError(problem.id, f"{before}: {problem.reason}", fix=problem.fix)

    def resolved(self, catalog: Catalog) -> WholeNames:
        """All of it with the full name of each model."""
        whole = catalog.resolve
        settings = replace(
            self.settings,
            model=whole(self.settings.model),
            fallbacks={
                whole(model): tuple(map(whole, others))
                for model, others in self.settings.fallbacks.items()
            },
            prices={whole(model): rates for model, rates in self.settings.prices.items()},
        )
        return WholeNames(
            settings,
            tuple(replace(rule, model=whole(rule.model)) for rule in self.rules),
            None if self.override is None else whole(self.override),
            replace(
                self.edits,
                model_map={model: whole(other) for model, other in self.edits.model_map.items()},
            ),
        )

    def _places(self) -> Iterator[tuple[str, str, str]]:
        """Key in the configuration (empty: an option), place in words, and model."""
        # The option wins over default and rules, so those are asked nothing.
        if self.override is not None:
            yield "", "-m", self.override
        else:
            yield "model", "model", self.settings.model
            for number, rule in enumerate(self.rules):
                yield f"routes.{number}.model", f"routes[{number}] ({rule.name})", rule.model
        for model, others in self.settings.fallbacks.items():
            for name in (model, *others):
                yield f"fallbacks.{model}", "fallbacks", name
        for other in self.edits.model_map.values():
            yield "", "--model-map", other
