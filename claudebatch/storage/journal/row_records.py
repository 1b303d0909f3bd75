"""Rows of the input, as the journal has them and as a run asks for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class RowRecord(NamedTuple):
    """One checked line of the input, in input order; the order of fields is that of the
    columns.
    """

    id: str
    has_own_id: bool
    digest: bytes
    lane: str
    source: int
    line: int
    offset: int
    length: int
    model: str = ""
    """The model that the row goes to first."""
    rule: str = ""
    """The rule that said so."""
    key: bytes = b""
    """What its answer is kept under in the response cache; empty where nothing is
    looked up.
    """


class RowRef(NamedTuple):
    """Where a row's line lies and what it must contain."""

    row: int
    source: int
    line: int
    offset: int
    length: int
    id: str
    digest: bytes


class RowKey(NamedTuple):
    """What a row needs to be answered out of the response cache."""

    row: int
    id: str
    model: str
    rule: str
    key: bytes


class RowFilter(NamedTuple):
    """Which rows are to be answered."""

    limit: int | None = None
    """Only the first so many of the input."""
    retry_failed: bool = False
    left_out: bool = False
    """Without those of `queries.leave_out_unknown`."""


@dataclass(frozen=True, slots=True)
class DuplicateId:
    """A row whose id an earlier row already has."""

    id: str
    source: int
    line: int
    first_source: int
    first_line: int


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What a new look at the input found."""

    rows: int
    twins: tuple[DuplicateId, ...]
    """Rows with an id that is taken; they were left out."""
    changed: int
    """Rows whose content changed since an earlier session answered them; they run
    again.
    """
    removed: int
    """Rows that an earlier session answered and the input no longer holds."""
