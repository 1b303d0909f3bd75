"""Faults of the simulated API, by probability or in the order of a script.

Early faults replace the answer (no work is done and nothing is billed):

    529 500 503 429 401 402 403 404     an error answer of that status
    spend_limit    429 with `error_code` enforced_spend_limit_reached and no retry-after
    credit         400 "Your credit balance is too low"
    spend_400      400 "You have reached your specified API usage limits"
    reset          the connection is reset before any answer
    html           200 with a web page as its body
    empty          200 with no body

Late faults disturb a request that is served and billed like any other:

    slow           ten times the latency
    drip           the body comes a byte at a time
    cut            half of the body, then the connection closes
    hang           no answer for as long as the client stays
    invalid        the answer does not fit the schema that was asked for; one without a
                   schema is undisturbed

Late faults of streamed answers only; a plain answer is sent undisturbed:

    stream_error   half of the events, then an `error` event: overloaded
    stream_open    every event but the last, and a proper end of the body: no
                   `message_stop`
    stream_hang    half of the events, then silence for as long as the client stays

Faults of batches befall the batch endpoints only:

    batch_500 batch_429    any of them: that status, and nothing is done
    batch_504      create: the batch is made, and answered with a 504
    batch_lost     create: the batch is made, and the connection closes
    batch_hang     create: the batch is made, and no answer for as long as the client
                   stays
    batch_twice    create: two batches are made; the answer tells of the later one
    batch_stuck    create: nothing of it is processed, and all of it expires
    batch_flat     create: its errors are written flat, as other servers have them
    batch_404      retrieve, cancel, results: 404, with the batch alive
    batch_lag      list: batches of the last minute are not in it yet
    batch_cut      results: half of them, then the connection closes
    batch_short    results: all but the last line, and an end as if they were whole
    batch_uncanceled    cancel: it cancels nothing

and rows of a batch, where they are processed; none of these is billed:

    batch_invalid batch_api_error batch_overloaded    an errored line of that kind
    batch_expired batch_canceled    the row was not reached
    batch_unknown  a result of a type that is unknown

or that are answered and billed:

    batch_unfit    as `invalid`
    batch_refusal  the model refuses
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Collection, Iterable, Mapping

from claudebatch.core.errors import ConfigError
from claudebatch.simulator.refusals import RefusedRequest

REFUSING = frozenset(
    {"529", "500", "503", "429", "401", "402", "403", "404", "spend_limit", "credit", "spend_400"}
)
BREAKING = frozenset({"reset", "html", "empty"})
LATE = frozenset(
    {"slow", "drip", "cut", "hang", "invalid", "stream_error", "stream_open", "stream_hang"}
)
BATCH_ROWS = frozenset(
    {
        *("batch_invalid", "batch_api_error", "batch_overloaded"),
        *("batch_expired", "batch_canceled", "batch_unknown"),
        *("batch_unfit", "batch_refusal"),
    }
)
BATCH_CALLS = frozenset(
    {
        *("batch_500", "batch_429", "batch_504", "batch_lost", "batch_hang", "batch_twice"),
        *("batch_stuck", "batch_flat", "batch_404", "batch_lag", "batch_cut", "batch_short"),
        "batch_uncanceled",
    }
)
NAMES = REFUSING | BREAKING | LATE | BATCH_ROWS | BATCH_CALLS
_OF_BATCHES = BATCH_ROWS | BATCH_CALLS
_DRAWN_TOGETHER = (NAMES - _OF_BATCHES, BATCH_ROWS, BATCH_CALLS)
OK = "ok"
"""The word of a script for a request without a fault."""


class FaultPlan:
    """Chooses the fault of each request: the script's next word, then by chance."""

    def __init__(
        self, faults: Mapping[str, float], script: Iterable[str], *, rng: random.Random
    ) -> None:
        self._rng = rng
        # Mutable state: `set` replaces all, drawing consumes the scripts: one of
        # Messages requests, and one of whatever befalls batches.
        self._faults: Mapping[str, float] = {}
        self._chances: tuple[tuple[str, float], ...] = ()
        self._script: deque[str] = deque()
        self._batch_script: list[str] = []
        self.set(faults, script)

    def set(self, faults: Mapping[str, float], script: Iterable[str] = ()) -> None:
        """Replace all faults and the rest of the script; a `ConfigError` leaves both
        unchanged.
        """
        # Checked before anything is replaced: a typo in `POST /__faults` must not leave
        # half of the new faults in force.
        words = tuple(script)
        check_faults(faults, words)
        self._faults = dict(faults)
        self._chances = tuple(
            (name, chance) for name, chance in faults.items() if name not in _OF_BATCHES
        )
        self._script = deque(word for word in words if word not in _OF_BATCHES)
        self._batch_script = [word for word in words if word in _OF_BATCHES]

    def draw(self) -> str | None:
        """The fault of the next request, or None."""
        # The script first: a test wants its faults at exact requests, whatever the
        # chances.
        if self._script:
            word = self._script.popleft()
            return None if word == OK else word
        return self._by_chance(self._chances)

    def draw_of(self, names: Collection[str]) -> str | None:
        """The one of *names* that befalls a batch, or a row of one, now; or None.

        A script's word waits until something comes that it can befall.
        """
        for place, word in enumerate(self._batch_script):
            if word in names:
                return self._batch_script.pop(place)
        # In the order in which they were given: a set has another one each time.
        return self._by_chance(
            tuple((name, chance) for name, chance in self._faults.items() if name in names)
        )

    def _by_chance(self, chances: tuple[tuple[str, float], ...]) -> str | None:
        if not chances:
            return None
        # One draw decides for all faults, so that their chances add up to what was
        # asked for.
        left = self._rng.random()
        for name, chance in chances:
            left -= chance
            if left < 0:
                return name
        return None

    def snapshot(self) -> dict[str, object]:
        """The faults in force, as `POST /__faults` takes them."""
        return {**self._faults, "script": [*self._script, *self._batch_script]}


def check_faults(faults: Mapping[str, float], script: Iterable[str]) -> None:
    """Raise `ConfigError` for an unknown fault or an invalid probability."""
    for name, chance in faults.items():
        _known(name, NAMES)
        if isinstance(chance, bool) or not isinstance(chance, int | float) or not 0 <= chance <= 1:
            raise ConfigError(
                "E900",
                f"fault {name}: {chance!r} is not a probability",
                fix="give a number from 0 to 1",
            )
    # What befalls batches is drawn apart from what befalls Messages requests, and for
    # each endpoint by itself. Ten times 0.1 is above 1 in floats.
    if any(_sum(faults, names) > 1 + 1e-9 for names in _DRAWN_TOGETHER):
        raise ConfigError(
            "E901",
            "the probabilities of all faults are more than 1 together",
            fix="lower some of them",
        )
    for word in script:
        _known(word, NAMES | {OK})


def parse_faults(texts: Iterable[str]) -> dict[str, float]:
    """Read `529=0.02` and the like; raises `ConfigError`."""
    faults: dict[str, float] = {}
    for text in texts:
        name, equals, chance = text.partition("=")
        try:
            faults[name.strip()] = float(chance)
        except ValueError:
            problem = f'"{chance}" is not a number' if equals else "the probability is missing"
            raise ConfigError(
                "E902", f'fault "{text}": {problem}', fix="write NAME=PROBABILITY, as in 529=0.02"
            ) from None
    check_faults(faults, ())
    return faults


def refusal(fault: str, *, retry_after: bool) -> RefusedRequest:
    """The error answer of a fault in `REFUSING`."""
    match fault:
        case "429":
            return RefusedRequest(429, should_retry=True, retry_after_s=1 if retry_after else None)
        case "spend_limit":
            message = (
                "You have reached your organization's enforced monthly spend limit. (simulated)"
            )
            return RefusedRequest(429, message, error_code="enforced_spend_limit_reached")
        case "credit":
            return RefusedRequest(400, _CREDIT)
        case "spend_400":
            return RefusedRequest(400, _SPEND)
        case _:
            return RefusedRequest(int(fault))


_CREDIT = (
    "Your credit balance is too low to access the Anthropic API. "
    "Please go to Plans & Billing to upgrade or purchase credits."
)
_SPEND = (
    "You have reached your specified API usage limits. "
    "You will regain access on the first of next month."
)


def _sum(faults: Mapping[str, float], names: Collection[str]) -> float:
    return math.fsum(chance for name, chance in faults.items() if name in names)


def _known(name: str, names: Iterable[str]) -> None:
    if name not in names:
        raise ConfigError(
            "E903", f'unknown fault "{name}"', fix="use one of: " + ", ".join(sorted(names))
        )
