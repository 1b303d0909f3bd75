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

Late faults of streamed answers only; a plain answer is sent undisturbed:

    stream_error   half of the events, then an `error` event: overloaded
    stream_open    every event but the last, and a proper end of the body: no
                   `message_stop`
    stream_hang    half of the events, then silence for as long as the client stays
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Iterable, Mapping

from claudebatch.core.errors import ConfigError
from claudebatch.simulator.refusals import RefusedRequest

REFUSING = frozenset(
    {"529", "500", "503", "429", "401", "402", "403", "404", "spend_limit", "credit", "spend_400"}
)
BREAKING = frozenset({"reset", "html", "empty"})
LATE = frozenset({"slow", "drip", "cut", "hang", "stream_error", "stream_open", "stream_hang"})
NAMES = REFUSING | BREAKING | LATE
OK = "ok"
"""The word of a script for a request without a fault."""


class FaultPlan:
    """Chooses the fault of each request: the script's next word, then by chance."""

    def __init__(
        self, faults: Mapping[str, float], script: Iterable[str], *, rng: random.Random
    ) -> None:
        self._rng = rng
        # Mutable state: `set` replaces both, `draw` consumes the script.
        self._chances: tuple[tuple[str, float], ...] = ()
        self._script: deque[str] = deque()
        self.set(faults, script)

    def set(self, faults: Mapping[str, float], script: Iterable[str] = ()) -> None:
        """Replace all faults and the rest of the script; a `ConfigError` leaves both
        unchanged.
        """
        # Checked before anything is replaced: a typo in `POST /__faults` must not leave
        # half of the new faults in force.
        words = tuple(script)
        check_faults(faults, words)
        self._chances = tuple(faults.items())
        self._script = deque(words)

    def draw(self) -> str | None:
        """The fault of the next request, or None."""
        # The script first: a test wants its faults at exact requests, whatever the
        # chances.
        if self._script:
            word = self._script.popleft()
            return None if word == OK else word
        if not self._chances:
            return None
        # One draw decides for all faults, so that their chances add up to what was
        # asked for.
        left = self._rng.random()
        for name, chance in self._chances:
            left -= chance
            if left < 0:
                return name
        return None

    def snapshot(self) -> dict[str, object]:
        """The faults in force, as `POST /__faults` takes them."""
        return {**dict(self._chances), "script": list(self._script)}


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
    # Ten times 0.1 is above 1 in floats.
    if math.fsum(faults.values()) > 1 + 1e-9:
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


def _known(name: str, names: Iterable[str]) -> None:
    if name not in names:
        raise ConfigError(
            "E903", f'unknown fault "{name}"', fix="use one of: " + ", ".join(sorted(names))
        )
