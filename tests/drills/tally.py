"""Adds verdicts up: a table for the reader, figures for the documentation."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

_SHOWN = 40
_COLUMNS = "cases", "deaths", "sessions", "requests", "resends", "problems"


class Tally:
    """The sums of a drill."""

    def __init__(self, *, means: str, seed: int) -> None:
        self._means = means
        self._seed = seed
        self._by_scenario: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._places: Counter[str] = Counter()
        self._struck = 0
        self.problems: list[str] = []

    @property
    def cases(self) -> int:
        """Cases so far."""
        return self._sum("cases")

    @property
    def deaths(self) -> int:
        """Deaths so far."""
        return self._sum("deaths")

    def add(self, verdict: dict[str, Any]) -> None:
        """One more case."""
        line = self._by_scenario[verdict["scenario"]]
        line["cases"] += 1
        line["deaths"] += len(verdict.get("deaths", ()))
        for name in ("sessions", "requests", "resends"):
            line[name] += verdict.get(name, 0)
        line["problems"] += len(verdict["problems"])
        self._struck += verdict.get("struck", False)
        self._places.update(
            death.rpartition(" #")[0] for death in verdict.get("deaths", ()) if " #" in death
        )
        deaths = verdict.get("fault") or ", then ".join(verdict.get("deaths", ()))
        self.problems += [
            f"{verdict['scenario']} [{deaths}]: {problem}" for problem in verdict["problems"]
        ]

    def figures(self, seconds: float) -> dict[str, Any]:
        """What the documentation quotes."""
        return {
            "killed_by": self._means,
            "seed": self._seed,
            **{name: self._sum(name) for name in _COLUMNS},
            "struck": self.deaths + self._struck,
            "kinds_of_places": len(self._places),
            "answers_lost": self._about("is lost"),
            "answers_asked_again": self._about("asked again"),
            "seconds": round(seconds),
        }

    def table(self) -> str:
        """One line for every scenario, the sums, and what went wrong."""
        lines = [f"{'scenario':<20}" + "".join(f"{name:>10}" for name in _COLUMNS)]
        for name, line in (*self._by_scenario.items(), ("all", self._all())):
            lines.append(
                f"{name[:20]:<20}" + "".join(f"{line[column]:>10,}" for column in _COLUMNS)
            )
        lines += self.problems[:_SHOWN]
        if len(self.problems) > _SHOWN:
            lines.append(f"… and {len(self.problems) - _SHOWN} more")
        return "\n".join(lines)

    def _all(self) -> Counter[str]:
        return sum(self._by_scenario.values(), Counter())

    def _sum(self, name: str) -> int:
        return sum(line[name] for line in self._by_scenario.values())

    def _about(self, words: str) -> int:
        return sum(words in problem for problem in self.problems)
