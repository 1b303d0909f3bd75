"""Rows that the API failed and does not want to be sent again, until it is known whose
fault that was.

The word (`x-should-retry: false`) is about one request. In an outage every request gets
it, and a run that took it for its rows' end would lose them, or stop over night for two
minutes of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from claudebatch.core.domain import Call
from claudebatch.core.errors import AttemptError

# So many of one model's rows that fail with no answer between them are no bad rows.
_OF_AN_OUTAGE = 5
# Their requests are kept in memory. The breaker opens long before.
_MOST_HELD = 1000


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that was refused, not yet written down."""

    call: Call
    error: AttemptError
    latency_ms: int
    at: float
    """When the refusal came."""
    lane: str = ""
    """The lane that its call was taken from."""


def is_fault_of_the_api(error: AttemptError) -> bool:
    """Whether an error that is not to be tried again may be an outage all the same."""
    return error.status is not None and error.status >= 500


class OutageSuspects:
    """Holds such rows by model, until a request that was sent later is answered: one
    that failed alone is to blame itself, of many at once none is.
    """

    def __init__(self) -> None:
        # Mutable, changed by the methods below only: the rows by model, in the order in
        # which they failed; when the last request of a model was sent that was
        # answered; rows that are asked a second time, and those of them to be taken.
        self._by_model: dict[str, list[RefusedRow]] = {}
        self._good_at: dict[str, float] = {}
        self._second: set[int] = set()
        self._to_ask: list[RefusedRow] = []

    def __len__(self) -> int:
        return len(self.held)

    @property
    def held(self) -> list[RefusedRow]:
        """Those of which nothing is known yet."""
        return [row for held in self._by_model.values() for row in held]

    @property
    def full(self) -> bool:
        """Whether no more are to be sent before it is known."""
        return len(self) >= _MOST_HELD

    def hold(self, row: RefusedRow) -> None:
        """*row* failed."""
        self._by_model.setdefault(row.call.model, []).append(row)

    def answered(self, began: float, model: str) -> None:
        """A request to *model* that *began* then was answered."""
        self._good_at[model] = max(began, self._good_at.get(model, -inf))

    def own(self) -> list[RefusedRow]:
        """Those that failed by their own fault, as is known by now: each is returned
        once.
        """
        own: list[RefusedRow] = []
        for model, held in self._by_model.items():
            good_at = self._good_at.get(model, -inf)
            known = [row for row in held if row.at <= good_at]
            if not known:
                continue
            self._by_model[model] = [row for row in held if row.at > good_at]
            outage = len(known) >= _OF_AN_OUTAGE
            for row in known:
                # Bad rows that stand together in a file fail together, too.
                second = row.call.row in self._second
                (self._to_ask if outage and not second else own).append(row)
        self._second.update(row.call.row for row in self._to_ask)
        return own

    def again(self) -> list[RefusedRow]:
        """Those that failed in an outage that is over: each is returned once."""
        again, self._to_ask = self._to_ask, []
        return again
