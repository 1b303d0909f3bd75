"""What a scenario file says: an API, rows, a client's configuration, and the ranges in
which the outcome must lie.

`vary` multiplies: one case for each choice along every axis, and each choice is a patch
of the file. `more` holds further choices along the same axes, for `python -m
tests.scenarios --all`. `except` widens a range for some cases and says why. `short`
has some cases play less than `--all` does, and widens ranges by what that takes;
`left_out` names cases that only `--all` plays: each pair of choices is in another case.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec
import yaml

Range: TypeAlias = tuple[float | None, float | None]
"""At least, at most; None: any."""
Patch: TypeAlias = Mapping[str, Any]


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A typing error in a scenario is an error."""


class Window(_Part, frozen=True):
    """Seconds after the start, and what the API does then."""

    since: float
    until: float
    does: Literal["429", "529", "reset"]
    retry_after: float | None = None


class Change(_Part, frozen=True):
    """From *at* on, the limits are so many times the first ones."""

    at: float
    times: float


class Server(_Part, frozen=True):
    """The API."""

    rpm: int | None = None
    itpm: int | None = None
    otpm: int | None = None
    burst_s: float = 60.0
    latency: str = "fixed:1"
    of_a_token: bool = False
    """The latency is that of each token: long answers take long."""
    travel: str = "fixed:0"
    """How long a request is on its way."""
    headers: Literal[
        "end", "start", "none", "always full", "always empty", "ten times the limit"
    ] = "end"
    """end, start: of the answer."""
    refusals_say: bool = False
    """A 429 that no limit explains has the headers of an answer, too."""
    stale_s: float = 0.0
    streams: Literal["evenly", "late", "not"] = "evenly"
    """How a streamed answer comes. Late: all its text at the end, as through a gateway
    that keeps it back; not: as a plain answer does, its head at the end as well.
    """
    thinks: float = 0.0
    """So much of each answer are thoughts, which come first and are not shown."""
    bytes_per_token: float = 3.1
    output_at_end: bool = False
    """Output counts all at once when its answer is ready, rather than while it is
    produced.
    """
    retry_after: bool = True
    max_concurrency: int | None = None
    changes: list[Change] = []
    windows: list[Window] = []
    faults: dict[Literal["429", "529", "reset", "hang"], float] = {}
    """The share of requests that meet it; a 429 says `retry-after: 1`."""
    never_every: int = 0
    """Every so many rows, one meets a 429 that asks for *never_wait* seconds, for ever,
    with the headers of an answer.
    """
    never_wait: float | None = None
    bad_rows: int = 0
    """So many rows fail always, after a tenth of a second."""
    bad_as: Literal["500", "reset", "empty", "garbage"] = "500"
    """How: a status, a broken connection, an answer without content, one that is no
    HTTP.
    """
    bad_are: Literal["any", "first", "last"] = "any"
    """Where they stand in the file."""
    filled: float = 1.0
    """The share of what the buckets can hold that is in them at the start."""
    others_take: float = 0.0
    """Another user's share of every limit."""


class Rows(_Part, frozen=True):
    """What is asked."""

    for_s: float = 0.0
    """So many rows that the limits allow no less than this time."""
    count: int | None = None
    input: str = "fixed:100"
    """Tokens that the client estimates, as a latency is written."""
    output: str = "fixed:100"
    expected_output: int | None = None
    """Tokens of output that the client expects of each row at first; None: of a usual
    answer.
    """
    counted: float = 1.0
    """What the API counts, as a multiple of the estimate."""
    remembered: float | None = None
    """What earlier runs say that it counts; None: there were none."""
    remembered_output: float | None = None
    """The mean length of the answers of earlier runs."""
    tried_before: int = 0
    """How often the bad rows were tried in earlier sessions."""
    huge_every: int = 0
    """Every so many rows, one takes *huge* input tokens."""
    huge: int = 0


class Case(_Part, frozen=True):
    """One run."""

    name: str
    server: Server
    rows: Rows
    client: dict[str, Any]
    """As in the configuration file. Without `limits`, it is told the API's own."""
    expect: dict[str, Range]


def cases(path: Path, *, more: bool = False) -> Iterator[Case]:
    """The cases of one file; *more*: those of `more` as well."""
    told: dict[str, Any] = yaml.safe_load(path.read_text())
    assert told.pop("says"), "a scenario says what it shows"
    exceptions, shorter = told.pop("except", []), told.pop("short", [])
    left_out = told.pop("left_out", [])
    axes: dict[str, dict[str, Patch]] = told.pop("vary", {})
    further: dict[str, dict[str, Patch]] = told.pop("more", {})
    if more:
        axes = {axis: {**choices, **further.get(axis, {})} for axis, choices in axes.items()}
    for choice in itertools.product(*(choices.items() for choices in axes.values())):
        names = [str(name) for name, _ in choice]
        if not more and any(set(map(str, some)) <= set(names) for some in left_out):
            continue
        made: Patch = {"server": {}, "rows": {}, "client": {}, "expect": {}, **told}
        for _, patch in choice:
            made = _patched(made, patch or {})
        for exception in exceptions:
            assert exception["because"]
            if set(map(str, exception["when"])) <= set(names):
                made = _patched(made, {"expect": exception["expect"]})
        for patch in shorter if not more else []:
            assert patch["because"]
            if set(map(str, patch["when"])) <= set(names):
                made = _patched(made, {"rows": patch["rows"]})
                made = _patched(made, {"expect": _widened(made["expect"], patch["widens"])})
        yield msgspec.convert({**made, "name": ", ".join([path.stem, *names])}, Case)


def _widened(expect: Patch, by: Mapping[str, float]) -> Patch:
    """The ranges of *expect*, a share that much lower and a number that much higher."""
    share, refused = by.get("share", 0.0), by.get("refused", 0)
    low, high = expect["share"]
    wider = {"share": [low - share, high]}
    if refused and expect["refused"][1]:
        wider["refused"] = [expect["refused"][0], expect["refused"][1] + refused]
    return wider


def _patched(base: Patch, patch: Patch) -> dict[str, Any]:
    both = {
        key: _patched(base[key], value)
        if isinstance(value, dict) and isinstance(base.get(key), dict)
        else value
        for key, value in patch.items()
    }
    return {**base, **both}
