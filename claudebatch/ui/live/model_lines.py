"""One line for each model that is asked: the limit that binds, or why it waits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from claudebatch.core.plurals import counted
from claudebatch.core.stats.pool_waits import PoolWait
from claudebatch.core.stats.snapshot import LimitsByPool, MinuteLimits, PoolSnapshot, RunSnapshot
from claudebatch.ui import format as fmt

# A display that is higher than its terminal scrolls, and then cannot be redrawn.
_SHOWN = 4
# Names come from configurations: one of 200 characters would push the rest off the
# screen.
_NAME, _SHORTEST_NAME = 24, 8
# Below this, units are short and what is only nice to know is left out.
_NARROW = 60

_STARTING = ("first answer", "gentle start")
_UNTIL = " until the API states its limits"
_NO_ANSWER = "circuit open"
# Of everything, not of one model.
_OF_THE_RUN = ("money", "spending paused")
_REASONS = {
    "rate limited": "rate limited (429)",
    "retry budget": "too many retries at once",
    "requests in flight": "as many requests in flight as it may have",
}
_SHORT = (
    (" requests a minute", " req/min"),
    (" input tokens a minute", " in tok/min"),
    (" output tokens a minute", " out tok/min"),
)


@dataclass(frozen=True, slots=True)
class ModelProgress:
    """The line of one model, or of models that share their limits."""

    name: str
    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class _Use:
    """How much of a limit is used."""

    what: str
    rate: float
    limit: float | None

    @property
    def share(self) -> float:
        """Of the limit; a rate over a few seconds may seem to be above it."""
        return min(self.rate / self.limit, 1.0) if self.limit else 0.0


def model_lines(
    run: RunSnapshot, limits: LimitsByPool, *, width: int = 0
) -> Iterator[ModelProgress]:
    """The lines of the models of *run*, at most *width* columns wide (0: any)."""
    waits = {wait.pool: wait for wait in run.waits if wait.reason not in _OF_THE_RUN}
    pools = sorted(run.pools.items())
    for name, pool in pools[:_SHOWN]:
        text, style = _state(pool, waits.pop(name, None), limits.get(name), run.at, width)
        yield ModelProgress(_name(pool.model or name, text, width), text, style)
    # Models that no request has reached yet, and rows between two tries.
    for name, wait in list(waits.items())[:_SHOWN]:
        if name not in run.pools:
            text = f"{wait.reason}, again in {fmt.seconds(ceil(wait.until - run.at))}"
            yield ModelProgress(_name(name, text, width), text, "yellow")
    if len(pools) > _SHOWN:
        yield ModelProgress("", f"and {counted(len(pools) - _SHOWN, 'more model')}", "dim")


def run_waits(run: RunSnapshot) -> list[str]:
    """Why nothing of the whole run is sent, whichever model waits."""
    reasons = {wait.reason: wait for wait in run.waits}
    found = []
    if "money" in reasons:
        flight = f"for {counted(run.in_flight, 'request')} in flight" if run.in_flight else ""
        found.append(f"waiting: the rest of the cap is reserved {flight or 'by other runs'}")
    if "spending paused" in reasons:
        left = fmt.seconds(ceil(reasons["spending paused"].until - run.at))
        found.append(f"paused: money leaves faster than usual; goes on in {left}")
    return found


def _state(
    pool: PoolSnapshot,
    wait: PoolWait | None,
    configured: MinuteLimits | None,
    now: float,
    width: int,
) -> tuple[str, str]:
    """Text and style of a line."""
    narrow = 0 < width < _NARROW
    left = fmt.seconds(ceil(wait.until - now)) if wait is not None else ""
    reason = wait.reason if wait is not None else ""
    if pool.breaker != "closed" or reason == _NO_ANSWER:
        again = f"next try in {left}" if reason == _NO_ANSWER else "trying again"
        return f"{'no answer' if narrow else 'does not answer'}, {again}", "bold red"
    if reason in _STARTING:
        return "starting slowly" + ("" if narrow else _UNTIL), "yellow"
    use = _binding(pool, configured, reason)
    if reason and reason != use.what:
        why = "429" if narrow and reason == "rate limited" else _REASONS.get(reason, reason)
        return f"{why}, goes on in {left}", "yellow"
    after = f", next in {left}" if reason and not narrow else ""
    return _used(use, narrow) + after, "yellow" if reason else ""


def _binding(pool: PoolSnapshot, configured: MinuteLimits | None, reason: str) -> _Use:
    """The limit that the pool waits for, else the one that is used most."""
    limits = pool.limits_in_force(configured)
    uses = (
        _Use("requests per minute", pool.requests_per_minute, limits.requests),
        _Use("input tokens per minute", pool.input_tokens_per_minute, limits.input_tokens),
        _Use("output tokens per minute", pool.output_tokens_per_minute, limits.output_tokens),
    )
    return max(uses, key=lambda use: (use.what == reason, use.share))


def _used(use: _Use, narrow: bool) -> str:
    if use.limit is None:
        text = f"{fmt.per_minute(use.rate)} {fmt.limit_text(use.what, None)}"
    else:
        text = f"{int(use.share * 100)} % of {fmt.limit_text(use.what, use.limit)}"
    if narrow:
        for long, short in _SHORT:
            text = text.replace(long, short)
    return text


def _name(name: str, text: str, width: int) -> str:
    """*name*, shortened where *text*, which matters more, needs its room."""
    room = max(_SHORTEST_NAME, width - len(text) - len(": ")) if width else _NAME
    return fmt.clip(name, min(room, _NAME))
