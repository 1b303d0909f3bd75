"""The waits of a run that shares limits, caps or answers with other hosts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SharedWaits:
    """For what a session has waited, in seconds; those of several rows at once add
    up.
    """

    round_trips: int = 0
    """Scripts that the shared server was asked to run."""
    server_s: float = 0.0
    """Until it had answered them."""
    away_s: float = 0.0
    """In which it did not serve."""
    line_s: float = 0.0
    """In which pools of this run stood behind requests of other processes."""
    money_s: float = 0.0
    """For caps: until requests in flight, here or elsewhere, had given money back, or
    all hosts had told a server just begun what they know.
    """
    answers_s: float = 0.0
    """For the answers of other hosts to equal prompts."""
