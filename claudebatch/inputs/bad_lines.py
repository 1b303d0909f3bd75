"""Lines that will not be sent, collected so that equal problems are said once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from claudebatch.core.errors import Problem
from claudebatch.inputs.recipes import command

# A file of a million bad lines must not fill the memory with their descriptions, nor
# the screen with their numbers.
_MOST_KEPT = 1000
_MOST_RANGES = 6


@dataclass(slots=True)
class EqualProblems:
    """One problem and the lines of one file that have it."""

    file: str
    problem: Problem
    ranges: list[tuple[int, int]]
    """First and last line of each run of lines, in the order of the file; the first few
    of them.
    """
    command: str | None = None
    """The command that mends the whole file, where there is one."""
    count: int = 1
    """How many lines have it."""

    @property
    def lines(self) -> str:
        """The lines' numbers, such as `1-51` or `3, 7 and 40 more`."""
        named = ", ".join(
            str(first) if first == last else f"{first}-{last}" for first, last in self.ranges
        )
        more = self.count - sum(last - first + 1 for first, last in self.ranges)
        return f"{named} and {more:,} more" if more else named

    def add(self, line: int) -> None:
        """Note that *line* has the problem, too."""
        self.count += 1
        first, last = self.ranges[-1]
        if line == last + 1:
            self.ranges[-1] = (first, line)
        elif len(self.ranges) < _MOST_RANGES:
            self.ranges.append((line, line))


class BadLines:
    """Collects the problems of an input's lines."""

    def __init__(self) -> None:
        # Mutable: `add` fills both.
        self.count = 0
        self.more = 0
        """Problems beyond those that are kept."""
        self._kept: dict[tuple[str, Problem], EqualProblems] = {}

    def __iter__(self) -> Iterator[EqualProblems]:
        """Each kept problem once, in the order in which they were met."""
        return iter(self._kept.values())

    def add(self, file: str, line: int, problems: Iterable[Problem]) -> None:
        """Note that *line* of *file* will not be sent because of *problems*."""
        self.count += 1
        # A line may have one problem twice.
        for problem in dict.fromkeys(problems):
            key = (file, problem)
            known = self._kept.get(key)
            if known is not None:
                known.add(line)
            elif len(self._kept) < _MOST_KEPT:
                mend = None if problem.recipe is None else command(problem.recipe, file)
                self._kept[key] = EqualProblems(file, problem, [(line, line)], mend)
            else:
                self.more += 1
