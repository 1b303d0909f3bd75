"""Message batches in words: how they stand, and what becomes of one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from claudebatch.core.events import BatchChanged
from claudebatch.core.plurals import counted
from claudebatch.core.stats.open_batches import BatchProgress
from claudebatch.ui import format as fmt

# Asked about every minute, for hours: these states are news once.
_POLLS = ("in progress", "canceling", "ended")


class BatchNews:
    """Tells the changes of state from the many times that a batch is asked about."""

    def __init__(self) -> None:
        # Mutable: the last state of each batch, by its number; changed by `__call__`.
        self._states: dict[int, str] = {}

    def __call__(self, event: BatchChanged) -> bool:
        """Whether the state of the batch is another than before."""
        changed = self._states.get(event.batch) != event.state
        self._states[event.batch] = event.state
        return changed


def batches_at_work(progress: BatchProgress) -> str:
    """The batches that are not collected, in one line; empty where there are none."""
    if not progress.batches:
        return ""
    parts = [
        f"{counted(progress.batches, 'batch', 'batches')} at the API: "
        f"{counted(progress.rows, 'row')}",
        f"up to {fmt.money(progress.held)} reserved",
    ]
    if progress.age_s is not None:
        parts.append(_for_long(progress.age_s))
    # Beside the age, so that both can be compared at a glance.
    if progress.usual_s is not None:
        parts.append(f"usually {_for_long(progress.usual_s)}")
    if progress.left_s is not None:
        first = "the first expires" if progress.batches > 1 else "expires"
        parts.append(f"{first} in {_for_long(progress.left_s)}")
    if progress.canceling:
        parts.append(f"{fmt.count(progress.canceling)} being canceled")
    if progress.looked_for:
        parts.append(f"{fmt.count(progress.looked_for)} looked for")
    return ", ".join(parts)


def batch_news(event: BatchChanged) -> str | None:
    """The sentence for a change that is worth one on every screen."""
    rows = counted(event.requests, "row")
    # The id as well: it is what the Console and other tools know it by.
    if event.state == "submitted":
        return f"batch {event.batch} with {rows} is with the API ({event.id})"
    if event.state == "looked for":
        return f"it is not known whether batch {event.batch} was made: it is looked for"
    if event.state == "never made":
        were = "was" if event.requests == 1 else "were"
        return f"batch {event.batch} was not made: its {rows} {were} not sent"
    if event.state == "not ours":
        return f"{event.id} is not batch {event.batch}, but another program's"
    if event.state == "collected":
        ends = ((event.failed, "failed"), (event.again, "to be sent again"))
        parts = [f"{fmt.count(event.answered)} answered"]
        parts += [f"{fmt.count(number)} {end}" for number, end in ends if number]
        return f"batch {event.batch} is back: {', '.join(parts)}"
    return None


def batch_poll(event: BatchChanged) -> str | None:
    """The sentence of `-v` for an answer about a batch that is on its way."""
    if event.state not in _POLLS:
        return None
    # No counts: while a batch runs the API has none.
    parts = [str(event.state)]
    if event.created_ms is not None:
        age_s = max(0.0, (event.at_ms - event.created_ms) / 1000)
        parts.append(f"{fmt.seconds(age_s)} old")
    return f"batch {event.batch} ({event.id}): {', '.join(parts)}"


def batch_json(event: BatchChanged) -> dict[str, Any]:
    """The fields of *event*; dollars as an exact string."""
    return {
        "batch": event.batch,
        "id": event.id,
        "state": event.state,
        "requests": event.requests,
        "held_usd": fmt.usd_string(event.held),
        "created_at": moment(event.created_ms),
        "expires_at": moment(event.expires_ms),
        "answered": event.answered,
        "failed": event.failed,
        "again": event.again,
    }


def progress_json(progress: BatchProgress) -> dict[str, Any]:
    """The fields of *progress*."""
    return {
        "open": progress.batches,
        "rows": progress.rows,
        "held_usd": fmt.usd_string(progress.held),
        "looked_for": progress.looked_for,
        "canceling": progress.canceling,
        "collected": progress.collected,
        "age_s": _tenths(progress.age_s),
        "left_s": _tenths(progress.left_s),
        "usual_s": _tenths(progress.usual_s),
    }


def moment(ms: int | None) -> str | None:
    """Unix milliseconds as a moment of UTC, to the second."""
    if ms is None:
        return None
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _for_long(seconds: float) -> str:
    # Batches take minutes at least: seconds beside them would only flicker.
    return fmt.seconds(seconds if seconds < 60 else seconds // 60 * 60)


def _tenths(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
