"""What is written into the journal while a run goes on."""

from __future__ import annotations

from typing import NamedTuple

from claudebatch.domain import Pico


class Intent(NamedTuple):
    """An attempt that is about to be sent, at its worst case."""

    attempt: int
    row: int
    model: str
    worst: Pico
    sent_ms: int


class Outcome(NamedTuple):
    """What became of an attempt; the order of fields is that of the statement that writes it."""

    state: int
    cost: Pico
    cost_known: bool
    input_tokens: int
    cache_write_tokens: int
    cache_read_tokens: int
    output_tokens: int
    latency_ms: int
    request_id: str | None
    error: str | None
    body: bytes | None
    attempt: int
    # Not columns: what the spend ledger needs to undo the hold.
    model: str
    worst: Pico
    sent_ms: int
    simulated: bool


class Result(NamedTuple):
    """A row's result line; `body` where no attempt of this run holds the message."""

    row: int
    ok: bool
    head: bytes
    attempt: int | None
    body: bytes | None
    message: bytes | None
    """The message for the output line, wherever it is stored."""


Record = Intent | Outcome | Result
