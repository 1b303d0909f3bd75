"""Directives in a prompt, by which a rehearsal can have answers with any ending.

    [[simulate: refusal]]       200 with stop_reason refusal and no content
    [[simulate: max_tokens]]    an answer that runs into max_tokens
    [[simulate: empty]]         200 with `content: []` and stop_reason end_turn
    [[simulate: tokens 500]]    an answer of exactly 500 output tokens (max_tokens still
                                cuts it)
    [[simulate: error 529]]     an error answer of that status, every time; nothing
                                is billed
    [[simulate: fault hang]]    any fault of faults.py, every time

They may stand anywhere in the request. Several can be combined; an unknown directive is
answered with a 400 that lists the known ones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from claudebatch.simulator.faults import NAMES
from claudebatch.simulator.refusals import bad

_MARK = b"[[simulate:"
# Without backslashes: the raw body is JSON, and an escape in it could hide the end of
# the directive.
_PATTERN = re.compile(rb"\[\[simulate:([^\]\\]{0,80})\]\]")


@dataclass(frozen=True, slots=True)
class Directives:
    """The directives of one prompt, together."""

    refusal: bool = False
    max_tokens: bool = False
    empty: bool = False
    tokens: int | None = None
    error: int | None = None
    fault: str | None = None


NONE = Directives()


def read_directives(body: bytes) -> Directives:
    """The directives in a request's raw body; raises a 400 for an unknown one."""
    # A search of the bytes first: most requests have no directive.
    if _MARK not in body:
        return NONE
    directives = NONE
    for match in _PATTERN.finditer(body):
        directives = _with(directives, match[1].decode("utf-8", "replace").split())
    return directives


def _with(directives: Directives, words: list[str]) -> Directives:
    match words:
        case ["refusal"]:
            return replace(directives, refusal=True)
        case ["max_tokens"]:
            return replace(directives, max_tokens=True)
        case ["empty"]:
            return replace(directives, empty=True)
        case ["tokens", number] if number.isdecimal():
            return replace(directives, tokens=int(number))
        case ["error", number] if number.isdecimal() and 400 <= int(number) <= 599:
            return replace(directives, error=int(number))
        case ["fault", name] if name in NAMES:
            return replace(directives, fault=name)
    raise bad(
        f"simulate: {' '.join(words)!r} is no directive; "
        "known are refusal, max_tokens, empty, tokens N, error STATUS and fault NAME"
    )
