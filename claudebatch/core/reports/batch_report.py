"""Message batches: those of this machine, and those of the account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

KnownState: TypeAlias = Literal["perhaps made", "open", "collected", "lost"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLine:
    """One batch, as the ledger knows it, the API, or both. Times are Unix
    milliseconds.
    """

    id: str
    """The API's; empty of one that is perhaps made."""
    requests: int
    run: str = ""
    """The run that made it; empty: none of this machine did."""
    output: str = ""
    """That run's results file."""
    folder: str = ""
    """That run's folder; empty where it was purged."""
    number: int = 0
    """In that run."""
    state: KnownState | None = None
    """What the ledger knows; None: it is not ours."""
    created_ms: int | None = None
    expires_ms: int | None = None
    ended_ms: int | None = None
    status: str = ""
    """As the API has it now; empty: it was not asked, or does not know the batch."""
    counts: tuple[tuple[str, int], ...] = ()
    """Its requests by state, as the API counts them; all but `processing` are 0 until
    the whole batch has ended.
    """

    @property
    def ours(self) -> bool:
        """Whether a run of this machine made it."""
        return self.state is not None
