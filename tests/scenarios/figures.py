"""What a played case comes to, in figures that a scenario can set ranges for."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeAlias

from tests.scenarios.play import Played, limits_of
from tests.scenarios.scenario import Case

_WIDEST_PROBES_S = 5.0
_AFTER_S = 2.0
"""Requests that were under way when trouble began or ended belong to neither side."""
Timed: TypeAlias = Sequence[tuple[float, float]]
"""(when, how many units), in order."""


def refused(played: Played) -> float:
    """429s."""
    return len(played.seen.refused)


def refused_share(played: Played) -> float:
    """429s, of all requests."""
    return len(played.seen.refused) / len(played.seen.came)


def share(played: Played) -> float:
    """Of the ideal speed: the time that the limits allow for what was admitted, over the time it took.

    Requests and input count when they are admitted, from the first one on; output when it is produced, from the first
    answer on and until the last admission.
    """
    admitted = played.seen.admitted
    began, last = admitted[0], admitted[-1]
    output = [(at, tokens) for at, _, tokens in played.seen.counted if at <= last]
    rpm, itpm, otpm = limits_of(played.case.server)
    shares = [
        _least_s(played.case, limit, units) / (last - since)
        for limit, units, since in (
            (rpm, len(admitted), began),
            (itpm, sum(tokens for _, tokens, _ in played.seen.counted), began),
            (otpm, sum(tokens for _, tokens in output), output[0][0] if output else began),
        )
        if limit and last > since
    ]
    return max(shares)


def finished(played: Played) -> float:
    """Rows with an answer, of all rows."""
    return (played.finished - played.failed) / played.rows


def requests_per_row(played: Played) -> float:
    """Requests sent for each row."""
    return len(played.seen.came) / played.rows


def busiest_second(played: Played) -> float:
    """Most requests in any second, over the rate."""
    return _most_in(_ones(played.seen.came), 1.0) / ((played.case.server.rpm or 60) / 60)


def busiest_second_after(played: Played) -> float:
    """The same, after the last trouble."""
    end = played.case.server.windows[-1].until
    return _most_in(_ones([at for at in played.seen.came if at >= end]), 1.0) / ((played.case.server.rpm or 60) / 60)


def busiest_minute(played: Played) -> float:
    """Most of any limit's units in any minute after the first, over the limit."""
    seen, (rpm, itpm, otpm) = played.seen, limits_of(played.case.server)
    return max(
        _most_in([(at, units) for at, units in timed if at >= 60], 60.0) / limit
        for limit, timed in (
            (rpm, _ones(seen.admitted)),
            (itpm, [(at, tokens) for at, tokens, _ in seen.counted]),
            (otpm, [(at, tokens) for at, _, tokens in seen.counted]),
        )
        if limit
    )


def probes_in_5_s(played: Played) -> float:
    """Most requests in any five seconds of trouble."""
    return max(
        _most_in(_ones([at for at in played.seen.came if since <= at < until]), _WIDEST_PROBES_S)
        for since, until in _troubles(played)
    )


def requests_in_trouble(played: Played) -> float:
    """Requests that came while the API was in trouble."""
    return sum(since - _AFTER_S <= at < until for at in played.seen.came for since, until in _troubles(played))


def early(played: Played) -> float:
    """Requests that came before a `retry-after` was over."""
    came = played.seen.came
    waits = [(at, at + wait) for at, wait in played.seen.refused if wait]
    return sum(bisect_left(came, until - 1e-6) - bisect_left(came, at + 1e-6) for at, until in waits)


def longest_gap_s(played: Played) -> float:
    """Seconds in which no request came."""
    return max(later - earlier for earlier, later in pairwise(played.seen.came))


def most_in_flight(played: Played) -> float:
    """Requests in flight at once."""
    return played.seen.most_in_flight


def opened_after_s(played: Played) -> float:
    """Seconds from the beginning of trouble to the breaker's opening."""
    since = played.case.server.windows[0].since
    return next(at for at, state in played.breaker if state == "open" and at >= since) - since


def exit_code(played: Played) -> float:
    """Of the reason to stop; 0: the rows were all done."""
    return 0 if played.ended.stop is None else played.ended.stop.exit_code


def took_s(played: Played) -> float:
    """Virtual seconds."""
    return played.took_s


def overtaken(played: Played) -> float:
    """Most rows that came before one that stands before them in the file."""
    latest, most = -1, 0
    for place, row in enumerate(played.seen.rows):
        latest = max(latest, row)
        most = max(most, place - row)
    return most


FIGURES: dict[str, Callable[[Played], float]] = {
    figure.__name__: figure
    for figure in (
        refused, refused_share, share, finished, requests_per_row, busiest_second, busiest_second_after, busiest_minute,
        probes_in_5_s, requests_in_trouble, early, longest_gap_s, most_in_flight, opened_after_s, exit_code, took_s,
        overtaken,
    )
}  # fmt: skip


def _least_s(case: Case, limit: float, units: float) -> float:
    """The least seconds in which a server's bucket lets *units* through that is full at first."""
    ours = 1.0 - case.server.others_take
    per_s, at, left = limit / 60 * ours, 0.0, units - limit / 60 * case.server.burst_s
    for change in case.server.changes:
        granted = (change.at - at) * per_s
        if granted >= left:
            break
        left, at, per_s = left - granted, change.at, limit / 60 * ours * change.times
    return at + max(0.0, left) / per_s


def _troubles(played: Played) -> list[tuple[float, float]]:
    """When the API was in trouble, and the client could know it."""
    return [(window.since + _AFTER_S, window.until) for window in played.case.server.windows]


def _ones(times: Sequence[float]) -> Timed:
    return [(at, 1.0) for at in times]


def _most_in(timed: Timed, seconds: float) -> float:
    """The most units within any *seconds*."""
    most = units = 0.0
    first = 0
    for at, more in timed:
        units += more
        while timed[first][0] <= at - seconds + 1e-9:
            units -= timed[first][1]
            first += 1
        most = max(most, units)
    return most
