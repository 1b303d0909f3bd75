"""Errors in words: what is wrong, where, and what to do now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Protocol

from claudebatch.core.errors import ClaudebatchError, Problem, StopRun
from claudebatch.ui.format import counted
from claudebatch.ui.sanitise import visible

# Enough to see a pattern; a wrong file has a problem in every line.
BAD_ROWS_SHOWN = 20
LEDGER_LOCKED = (
    "waiting for the spend ledger, which another program keeps locked: half a minute at most"
)


class BadLineText(Protocol):
    """An input line that will not be sent, as the reader of inputs reports it."""

    @property
    def file(self) -> str:
        """The file, as the user named it."""
        ...

    @property
    def line(self) -> int:
        """The line's number, from 1."""
        ...

    @property
    def problems(self) -> Sequence[Problem]:
        """Everything wrong with it."""
        ...


def render_error(error: ClaudebatchError | StopRun) -> list[str]:
    """`error: what` and, if there is a fix, `  hint: fix`.

    Further lines of a message are indented, so that no text from outside can pass for a
    line of ours.
    """
    lines = _indented("error: ", error.message)
    return lines + _indented("  hint: ", error.fix) if error.fix else lines


def render_usage(text: str) -> list[str]:
    """What the option parser says in *text*: usage and help as they are, then `error:`
    and the user's own words.
    """
    # click prefixes its complaint with this word, in every version.
    usage, found, complaint = text.partition("Error: ")
    lines = visible(usage, keep_newlines=True).splitlines()
    return lines + _indented("error: ", complaint) if found else lines


def render_bad_rows(bad: Iterable[BadLineText], *, shown: int = BAD_ROWS_SHOWN) -> list[str]:
    """One `file:line: reason: fix` per problem, *shown* of them, then how many more
    there are.
    """
    problems = ((line, problem) for line in bad for problem in line.problems)
    lines = [
        visible(f"{line.file}:{line.line}: {problem.reason}: {problem.fix}")
        for line, problem in islice(problems, shown)
    ]
    # The rest is counted without being made into text.
    more = sum(1 for _ in problems)
    return [*lines, f"and {counted(more, 'more problem')}"] if more else lines


def _indented(label: str, text: str) -> list[str]:
    first, *others = visible(text.strip(), keep_newlines=True).split("\n")
    return [label + first, *(" " * len(label) + line for line in others)]
