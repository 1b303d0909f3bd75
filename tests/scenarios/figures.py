"""What a played case comes to, in figures that a scenario can set ranges for."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from math import ceil, exp, nan
from typing import TypeAlias

from tests.scenarios.play import Played, limits_of
from tests.scenarios.scenario import Case

Timed: TypeAlias = Sequence[tuple[float, float]]
"""(when, how many units), in order."""

_SLICE_S = 0.25
_REFUSAL_S = 0.05
"""A refusal takes so long."""


def refused(played: Played) -> float:
    """429s."""
    return len(played.seen.refused)


def watched(played: Played) -> float:
    """Answers that were asked for as a stream, so that the limiter sees them grow."""
    return played.seen.watched


def refused_share(played: Played) -> float:
    """429s, of all requests."""
    return len(played.seen.refused) / len(played.seen.came)


def share(played: Played) -> float:
    """Of the ideal speed: the time that the limits allow for what was admitted, over
    the time it took.

    Requests, input and output that counts while it is produced are held against the
    time from the first admission to the last one; so whoever does not know how long
    answers take loses half of an answer's time at first, when less and less of what it
    asked for is still to come. Output that counts at its end cannot count before the
    first answer. Not a number where nothing is limited, or all came at once.
    """
    last = played.seen.admitted[-1][0]
    return max(
        (
            _least_s(played.case, limit, _sum(timed)) / (last - timed[0][0])
            for limit, timed in _counted(played, last)
            if last > timed[0][0]
        ),
        default=nan,
    )


def of_ideal(played: Played) -> float:
    """The time that the limits allow for all that was asked, and what the last answer
    takes, over the time that the whole job took.
    """
    last_took_s = played.took_s - played.seen.admitted[-1][0]
    least_s = max(
        _least_s(played.case, limit, _sum(timed))
        for limit, timed in _counted(played, played.took_s)
    )
    return (least_s + last_took_s) / played.took_s


def of_refill(played: Played) -> float:
    """What was admitted or produced after the first answer, over what the binding limit
    brings in that time.
    """
    since, last = played.seen.produced[0][0], played.seen.admitted[-1][0]
    return max(
        _sum([(at, units) for at, units in timed if at > since]) / (limit / 60 * (last - since))
        for limit, timed in _counted(played, last)
    )


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
    return _most_in(_ones([at for at in played.seen.came if at >= end]), 1.0) / (
        (played.case.server.rpm or 60) / 60
    )


def busiest_minute(played: Played) -> float:
    """Most of any limit's units in any minute after the first, over the limit."""
    return max(
        _most_in([(at, units) for at, units in timed if at >= 60], 60.0) / limit
        for limit, timed in _counted(played, played.took_s)
    )


def probes_in_5_s(played: Played) -> float:
    """Most requests in any five seconds of trouble, after the first probes, which come
    after one, two and four seconds.
    """
    return _most_probes(played, 5.0, known_after_s=8.0)


def requests_in_14_s(played: Played) -> float:
    """Requests in the first 14 seconds of trouble, once the client could know of it."""
    since = played.case.server.windows[0].since
    return sum(since + 2 * _REFUSAL_S <= at < since + 14 for at in played.seen.came)


def probes_in_10_s(played: Played) -> float:
    """Most requests in any ten seconds of trouble, once the requests that stood in line
    when it began are gone.
    """
    return _most_probes(played, 10.0 - 1e-6, known_after_s=20.0)


def requests_in_trouble(played: Played) -> float:
    """Requests that came while the API was in trouble."""
    return sum(
        window.since <= at < window.until
        for at in played.seen.came
        for window in played.case.server.windows
    )


def early(played: Played) -> float:
    """Requests that came before a `retry-after` was over."""
    came = played.seen.came
    waits = [(at, at + wait) for at, wait in played.seen.refused if wait]
    return sum(
        bisect_left(came, until - 1e-6) - bisect_left(came, at + 1e-6) for at, until in waits
    )


def longest_gap_s(played: Played) -> float:
    """Seconds in which no request came."""
    return max(later - earlier for earlier, later in pairwise(played.seen.came))


def most_in_flight(played: Played) -> float:
    """Requests in flight at once."""
    return played.seen.most_in_flight


def of_the_slots(played: Played) -> float:
    """Requests in flight on average from a tenth of the run to nine tenths, over those
    that the API allows.
    """
    ends = [at for at, _ in played.seen.produced]
    first, last = len(ends) // 10, len(ends) * 9 // 10
    slots = played.case.server.max_concurrency or 1
    usual_s = 3.0 * exp(0.4**2 / 2)
    return (last - first) / (ends[last] - ends[first]) * usual_s / slots


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


def answered_s(played: Played) -> float:
    """Virtual seconds until the last answer."""
    return played.seen.produced[-1][0]


def failed(played: Played) -> float:
    """Rows that were given up."""
    return played.failed


def most_tries(played: Played) -> float:
    """Most requests for one row."""
    return max(Counter(played.seen.rows).values())


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
        refused,
        refused_share,
        share,
        of_ideal,
        of_refill,
        finished,
        requests_per_row,
        busiest_second,
        busiest_second_after,
        busiest_minute,
        probes_in_5_s,
        requests_in_14_s,
        probes_in_10_s,
        requests_in_trouble,
        early,
        longest_gap_s,
        most_in_flight,
        of_the_slots,
        opened_after_s,
        exit_code,
        took_s,
        answered_s,
        failed,
        most_tries,
        overtaken,
        watched,
    )
}


def _least_s(case: Case, limit: float, units: float) -> float:
    """The least seconds in which a server's bucket lets *units* through that is filled
    at first as the scenario says.
    """
    ours = 1.0 - case.server.others_take
    saved = limit / 60 * case.server.burst_s * case.server.filled
    per_s, at, left = limit / 60 * ours, 0.0, units - saved
    for change in case.server.changes:
        granted = (change.at - at) * per_s
        if granted >= left:
            break
        left, at, per_s = left - granted, change.at, limit / 60 * ours * change.times
    return at + max(0.0, left) / per_s


def _counted(played: Played, until: float) -> list[tuple[float, Timed]]:
    """Each limit of the API, and what counted against it."""
    admitted = played.seen.admitted
    rpm, itpm, otpm = limits_of(played.case.server)
    found: list[tuple[float | None, Timed]] = [
        (rpm, [(at, 1.0) for at, _ in admitted]),
        (itpm, admitted),
        (otpm, _output(played, until)),
    ]
    return [(limit, timed) for limit, timed in found if limit and timed]


def _output(played: Played, until: float) -> Timed:
    if played.case.server.output_at_end:
        return [(at, tokens) for at, tokens in played.seen.produced if at <= until]
    begin = played.seen.made[0][0]
    slices = [piece for made in played.seen.made for piece in _sliced(*made)]
    return [(begin, 0.0), *sorted((at, tokens) for at, tokens in slices if at <= until)]


def _sliced(since: float, until: float, tokens: int) -> Iterator[tuple[float, float]]:
    """An answer in pieces of at most `_SLICE_S`, each at its end."""
    count = max(1, ceil((until - since) / _SLICE_S))
    for piece in range(1, count + 1):
        yield since + (until - since) * piece / count, tokens / count


def _most_probes(played: Played, seconds: float, *, known_after_s: float) -> float:
    return max(
        _most_in(
            _ones(
                [at for at in played.seen.came if window.since + known_after_s <= at < window.until]
            ),
            seconds,
        )
        for window in played.case.server.windows
    )


def _sum(timed: Timed) -> float:
    return sum(units for _, units in timed)


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
