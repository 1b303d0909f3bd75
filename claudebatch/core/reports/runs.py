"""The runs that the ledger knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from claudebatch.core.domain import Pico
from claudebatch.core.reports.spend import SpendLine

RunState: TypeAlias = Literal["running", "finished", "in batches", "stopped", "died"]


@dataclass(frozen=True, slots=True)
class RunLine:
    """One run: its identity, state and spend."""

    run: str
    state: RunState
    """`finished`: every row has its result; `in batches`: some of its batches are with
    the API; `stopped`: it ended early and can be resumed; `died`: without a word.
    """
    tag: str
    output: str
    folder: str
    """Its own folder; empty when it was purged or never known."""
    started: str
    ended: str | None
    """When its last session ended; None while it runs, and of a run that died."""
    rows: int | None
    succeeded: int | None
    failed: int | None
    exit_code: int | None
    spend: SpendLine
    open_batches: int = 0
    """Its message batches that are not collected."""


@dataclass(frozen=True, slots=True)
class UnknownAttempt:
    """A request of unknown outcome, with the facts by which to look it up."""

    attempt: int
    id: str
    sent_ms: int
    model: str
    worst: Pico
    error: str | None
    status: int | None
    request_id: str | None


@dataclass(frozen=True, slots=True)
class RunDetails:
    """One run in full."""

    run: RunLine
    models: tuple[SpendLine, ...]
    unknown: tuple[UnknownAttempt, ...]
