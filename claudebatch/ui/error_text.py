"""Errors in words: what is wrong, where, and what to do now."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Protocol

from claudebatch.core.errors import ClaudebatchError, Problem, StopRun
from claudebatch.core.notice import LineLeftOut, Notice
from claudebatch.core.plurals import counted
from claudebatch.ui.sanitise import visible

_KINDS = {"E": "error", "N": "note", "W": "warning"}
# Enough to see a pattern; a wrong file has a problem in every line.
BAD_ROWS_SHOWN = 20
LEDGER_LOCKED = "waiting for the spend ledger, which another program has locked: 30 s at most"


class ProblemText(Protocol):
    """A problem of some input lines, as the reader of inputs reports it."""

    @property
    def file(self) -> str:
        """The file, as the user named it."""
        ...

    @property
    def lines(self) -> str:
        """The numbers of the lines that have it."""
        ...

    @property
    def problem(self) -> Problem:
        """What is wrong with them."""
        ...

    @property
    def command(self) -> str | None:
        """The command that fixes the whole file, where there is one."""
        ...


def headed(id: str, text: str) -> str:
    """*text* after its kind and its *id*, as `warning[W003]: text`; without an id, as
    what only `-v` tells, *text* alone.
    """
    return f"{_KINDS[id[0]]}[{id}]: {text}" if id else text


def render_notice(notice: Notice) -> str:
    """*notice* as one line."""
    return headed(notice.id, notice.text)


def left_out(event: LineLeftOut) -> str:
    """One line for a line of the input that is left out."""
    ids = ", ".join(event.ids)
    return f"{event.file}:{event.line} is left out: {ids} {event.reason}: {event.fix}"


def render_error(error: ClaudebatchError | StopRun) -> list[str]:
    """`error[E017]: what` and, if there is a fix, `  hint: fix`.

    Further lines of a message are indented, so that no text from outside can pass for a
    line of ours.
    """
    lines = _indented(headed(error.id, ""), error.message)
    return lines + _indented("  hint: ", error.fix) if error.fix else lines


# click prefixes its complaint with this word, in every version.
_COMPLAINT = "Error: "


def render_usage(
    text: str, id: str, instead: Callable[[str], str | None] = lambda complaint: None
) -> list[str]:
    """What the option parser says in *text*: usage and help as they are, then
    `error[id]:` and the user's own words; then what to type *instead*, where that is
    known.
    """
    usage, found, _ = text.partition(_COMPLAINT)
    lines = visible(usage, keep_newlines=True).splitlines()
    if not found:
        return lines
    complaint, hint = complaint_in(text, instead)
    lines += _indented(headed(id, ""), complaint)
    return lines + _indented("  hint: ", hint) if hint else lines


def complaint_in(text: str, instead: Callable[[str], str | None]) -> tuple[str, str | None]:
    """What the option parser complains of in *text*, and what to type *instead*."""
    complaint = _plain_choice(text.partition(_COMPLAINT)[2])
    hint = instead(complaint.strip())
    if hint is not None:
        # The parser's own proposal goes by likeness, which is worse than knowing.
        complaint = complaint.partition(" (Possible options:")[0].partition(" Did you mean")[0]
    return complaint, hint


def _plain_choice(complaint: str) -> str:
    """*complaint* without the words of the library that checked a choice."""
    found = re.fullmatch(r"(.*)Value error, (.*) is not one of (.*)\.\s*", complaint, re.DOTALL)
    if found is None:
        return complaint
    return f"{found[1]}{found[2]} is not one of: {found[3].replace(chr(39), '')}"


def render_bad_rows(bad: Iterable[ProblemText], *, beyond: int = 0) -> list[str]:
    """One `file:lines: reason: fix` per problem, with its command on a line of its own,
    the first of them; then how many more there are, *beyond* those of *bad* included.
    """
    problems = iter(bad)
    lines = []
    for found in islice(problems, BAD_ROWS_SHOWN):
        problem = found.problem
        # A command must not be broken when it is copied.
        end = ":" if found.command else ""
        place = f"{found.file}:{found.lines}: {problem.id}"
        lines.append(visible(f"{place} {problem.reason}: {problem.fix}{end}"))
        if found.command:
            lines.append("    " + visible(found.command))
    # The rest is counted without being made into text.
    more = beyond + sum(1 for _ in problems)
    return [*lines, f"and {counted(more, 'more problem')}"] if more else lines


def _indented(label: str, text: str) -> list[str]:
    first, *others = visible(text.strip(), keep_newlines=True).split("\n")
    # Not by the length of the label: a command below it would stand far to the right.
    return [label + first, *(" " * 8 + line for line in others)]
