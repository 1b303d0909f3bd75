"""The cheapest split of rows into those that go by batch now and those that are sent at
once, that keeps a deadline. Pure.

A batch is half the price, and may take a day. So rows go by batch only where there is
time left to give it up (cancel it, wait for its end, take in what it has answered) and
to send the rest of its rows at once. In each pool of limits that time is kept free
before the deadline, whatever the batch does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, inf, log, nextafter

from claudebatch.core.domain import Pico

LONGEST_S = 86_400.0
"""A batch has ended after so long: the API promises that, and nothing earlier."""
CANCEL_S = 900.0
"""Kept for giving up: to see that a canceled batch has ended, and to take it in."""
MARGIN = 0.1
"""The share of the time to the deadline that is planned to be left over."""
# Without history: "most" batches end within an hour, says the API's documentation, and
# all within a day. One in ten within five minutes is our guess.
_PRIOR = ((300.0, 0.1), (3600.0, 0.5), (LONGEST_S, 1.0))
# The prior counts as much as so many batches of the past.
_PRIOR_WEIGHT = 5
_NEARLY_SURE = nextafter(1.0, 0.0)
# Moments to give up that are tried.
_STEPS = 200


class BatchChances:
    """How likely a batch has ended after some seconds: by what earlier ones took, and
    while these are few, by what the API says.
    """

    def __init__(self, seconds: Sequence[float] = (), *, pace: float = 1.0) -> None:
        """*pace*: batches live so many times faster than the API's: in a rehearsal."""
        self._past = tuple(seconds)
        self._pace = pace

    @property
    def past(self) -> int:
        """The number of batches that it rests on."""
        return len(self._past)

    @property
    def longest_s(self) -> float:
        """After so long every batch has ended."""
        return LONGEST_S / self._pace

    def within(self, seconds: float) -> float:
        """The chance to have ended by then; certain only after a day."""
        if seconds >= self.longest_s:
            return 1.0
        # Counted as they are: a curve through a handful of batches would invent some.
        faster = sum(1 for taken in self._past if taken <= seconds)
        # What never took longer may do so the next time: the prior stays in.
        seen = faster + _PRIOR_WEIGHT * _prior(max(0.0, seconds) * self._pace)
        # Rounded, a moment before the end would be certain, too.
        return min(seen / (len(self._past) + _PRIOR_WEIGHT), _NEARLY_SURE)


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Rows that are alike for the plan: of one model and rule."""

    name: str
    pool: str
    rows: int
    seconds: float
    """What all of them take of the pool's time, sent at once."""
    live: Pico
    """Expected dollars of all of them, at once."""
    batch: Pico
    batch_worst: Pico
    """Held under the cap while their batches run."""
    waits: bool = True
    """Whether they may go by batch."""
    sent: bool = False
    """They are in batches already, and come back where those are given up."""


@dataclass(frozen=True, slots=True)
class Split:
    """What goes by batch, and until when; all else is sent at once."""

    batch_rows: Mapping[str, int]
    """By the group's name; groups without any are left out."""
    give_up_s: float | None
    """Batches that have not ended by then are canceled, and what they have not answered
    is sent at once. None: nothing goes by batch.
    """
    chance: float
    """That a batch has ended by then."""
    expected: Pico
    """Dollars, by that chance."""
    latest_s: float
    """When all is answered, at the latest."""
    live: Pico
    """Dollars if everything was sent at once."""
    live_s: float
    """When all would be answered then."""


def split(
    groups: Sequence[RowGroup],
    chances: BatchChances,
    *,
    deadline_s: float,
    start_s: float = 0.0,
    left: Pico | None = None,
    cancel_s: float = CANCEL_S,
) -> Split:
    """The plan for *groups*. *start_s*: from the command to the first answer; *left*:
    dollars that may still be spent or held, without what batches that were sent hold,
    None for any; *cancel_s* is kept for the end of batches that are canceled.

    Where sending all at once is too late already, or just in time, that is the plan.
    """
    by_time = deadline_s * (1 - MARGIN)
    times = _times(groups, {group.name: group.rows for group in groups})
    best = at_once = _all_at_once(groups, start_s + max(times.values(), default=0.0))
    if at_once.live_s > by_time:
        return at_once
    last = min(by_time - cancel_s, chances.longest_s)
    for moment in _moments(last, times):
        found = _most_saving(groups, by_time - moment - cancel_s)
        found = _affordable(groups, found, left)
        if not found:
            continue
        back = max(_times(groups, found).values())
        # As late as these rows allow: a batch that is nearly there costs half.
        give_up = min(last, by_time - cancel_s - back)
        tried = _with_batches(
            at_once,
            found,
            saved=sum(_saved(group, found) for group in groups),
            give_up_s=give_up,
            chance=chances.within(give_up),
            back_s=cancel_s + back,
        )
        # Of two that save alike the first one: it waits for less.
        if tried.expected < best.expected:
            best = tried
    return best


def _all_at_once(groups: Sequence[RowGroup], live_s: float) -> Split:
    live = sum(group.live for group in groups)
    return Split(
        {},
        give_up_s=None,
        chance=0.0,
        expected=live,
        latest_s=live_s,
        live=live,
        live_s=live_s,
    )


def _with_batches(
    at_once: Split,
    rows: Mapping[str, int],
    *,
    saved: float,
    give_up_s: float,
    chance: float,
    back_s: float,
) -> Split:
    """*at_once* with *rows* by batch instead: *saved* are the dollars if their batches
    end, *back_s* the seconds until all is answered once they are given up.
    """
    return replace(
        at_once,
        batch_rows=rows,
        give_up_s=give_up_s,
        chance=chance,
        expected=at_once.live - int(chance * saved),
        latest_s=max(at_once.live_s, give_up_s + back_s),
    )


def _prior(seconds: float) -> float:
    before, chance = _PRIOR[0]
    if seconds <= before:
        return chance * seconds / before
    for after, then in _PRIOR[1:]:
        if seconds <= after:
            # Straight over the logarithm: hours differ as minutes do.
            return chance + (then - chance) * log(seconds / before) / log(after / before)
        before, chance = after, then
    return 1.0


def _moments(last: float, times: Mapping[str, float]) -> Iterator[float]:
    """Moments to give up, the earliest first."""
    if last <= 0:
        return
    # Those at which a whole pool just fits behind are corners of the best.
    corners = (last - seconds for seconds in times.values())
    even = (last * step / _STEPS for step in range(1, _STEPS + 1))
    yield from sorted({moment for moment in (*corners, *even) if 0 < moment <= last})


def _most_saving(groups: Sequence[RowGroup], room_s: float) -> dict[str, int]:
    """The rows that save most of those that a pool can answer in *room_s*; none where
    not even those have time that are in batches already.
    """
    left: defaultdict[str, float] = defaultdict(lambda: room_s)
    found = {group.name: group.rows for group in groups if group.sent and group.rows}
    for pool, seconds in _times(groups, found).items():
        left[pool] -= seconds
    # A corner may be off by what floats cannot tell.
    if any(seconds < -1e-6 for seconds in left.values()):
        return {}
    free = [group for group in groups if group.waits and not group.sent]
    able = [group for group in free if group.rows and group.live > group.batch]
    # What saves most for its seconds goes first.
    for group in sorted(able, key=_saving_per_second, reverse=True):
        room = max(0.0, left[group.pool])
        share = 1.0 if group.seconds <= room else room / group.seconds
        # Whole rows: a part of one cannot be sent.
        rows = int(group.rows * share)
        if rows > 0:
            found[group.name] = rows
            left[group.pool] -= group.seconds * rows / group.rows
    return found


def _affordable(
    groups: Sequence[RowGroup], found: dict[str, int], left: Pico | None
) -> dict[str, int]:
    """*found* without rows whose worst case in a batch would take the dollars that the
    others need at once. Where not even all at once can be paid, as it is: half the
    price answers more of them.
    """
    # What is in batches holds its money whatever is planned: it is in *left* no more.
    unsent = [group for group in groups if not group.sent]
    live = sum(group.live for group in unsent)
    if left is None or live > left:
        return found
    # The caller may keep what it gave.
    found = dict(found)
    here = [group for group in unsent if group.name in found]
    over = live + sum(_more(group) * found[group.name] for group in here) - left
    # First those that hold most for what they save.
    for group in sorted(here, key=_saving_per_held):
        if over <= 0:
            break
        if (each := _more(group)) > 0:
            out = min(found[group.name], ceil(over / each))
            found[group.name] -= out
            over -= out * each
    return {name: rows for name, rows in found.items() if rows}


def _more(group: RowGroup) -> float:
    """What a row holds more in a batch than it costs at once."""
    return (group.batch_worst - group.live) / group.rows


def _saving_per_second(group: RowGroup) -> float:
    return (group.live - group.batch) / group.seconds if group.seconds else inf


def _saving_per_held(group: RowGroup) -> float:
    return (group.live - group.batch) / max(1.0, _more(group) * group.rows)


def _saved(group: RowGroup, found: Mapping[str, int]) -> float:
    rows = found.get(group.name, 0)
    return (group.live - group.batch) * rows / group.rows if rows else 0.0


def _times(groups: Sequence[RowGroup], rows: Mapping[str, int]) -> dict[str, float]:
    """The seconds of *rows* in each pool, sent at once."""
    times: defaultdict[str, float] = defaultdict(float)
    for group in groups:
        if rows.get(group.name):
            times[group.pool] += group.seconds * rows[group.name] / group.rows
    return dict(times)
