"""Changes to every line of a file that was made for others: models read as other ones,
fields left out. Both are asked for by name and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from claudebatch.core.notice import Notice

# Where a line has its parameters, those of other tools' batches among them.
_INSIDE = (
    *("params", "body", "request", "modelInput"),
    *("generationConfig", "generation_config", "inferenceConfig"),
)
_MODELS = ("model", "modelId")


@dataclass(frozen=True, slots=True)
class LineEdits:
    """What is changed in each line before it is read."""

    model_map: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """A line's model → the model that is asked in its place."""
    drop: frozenset[str] = frozenset()
    """Fields that are left out, in the line and in its `params`, `body` and the
    like.
    """

    def __bool__(self) -> bool:
        """Whether there is anything to change."""
        return bool(self.model_map or self.drop)

    def apply(self, fields: dict[str, Any], made: Counter[str] | None = None) -> dict[str, Any]:
        """*fields* of a line with the changes; *made* counts each by its name."""
        changed: set[str] = set()
        result = self._edited(fields, changed)
        if made is not None:
            # Once for each line, however many places have it.
            made.update(changed)
        return result

    def told(self, made: Counter[str]) -> Iterator[Notice]:
        """One sentence for each kind of change, with the number of lines."""
        dropped = [f"{name} ({_rows(made[name])})" for name in sorted(self.drop) if made[name]]
        if dropped:
            yield Notice("N003", f"left out of the rows (--drop): {', '.join(dropped)}")
        unseen = sorted(name for name in self.drop if not made[name])
        if unseen:
            yield Notice("W015", f"--drop: no row has {', '.join(unseen)}")
        for model, other in self.model_map.items():
            if made[_mapped(model)]:
                rows = _rows(made[_mapped(model)])
                yield Notice("N004", f"{model} is read as {other} in {rows} (--model-map)")
            else:
                yield Notice("W016", f"--model-map: no row names {model}")

    def _edited(self, fields: dict[str, Any], changed: set[str]) -> dict[str, Any]:
        gone = self.drop & fields.keys()
        changed |= gone
        kept = {name: value for name, value in fields.items() if name not in gone}
        for name in _MODELS:
            model = kept.get(name)
            other = self.model_map.get(model) if isinstance(model, str) else None
            if other is not None:
                changed.add(_mapped(str(model)))
                kept[name] = other
        for inside in _INSIDE:
            if isinstance(kept.get(inside), dict):
                kept[inside] = self._edited(kept[inside], changed)
        return kept


def _mapped(model: str) -> str:
    # No field has such a name, so the two kinds of change share one counter.
    return f"model={model}"


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"
