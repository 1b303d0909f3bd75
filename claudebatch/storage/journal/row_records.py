"""Rows of the input, as the journal has them and as a run asks for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

Road: TypeAlias = Literal["any", "unsent", "live", "batch"]
"""Which rows: all; those that are in no batch now; of these, those that are sent at
once, or with a batch.
"""
NUMBER_ID = 2
"""`own` of a row whose id is a number in the input."""


# A tuple, because a million of them go straight into `executemany`; a dataclass would
# be taken apart for each row.
class RowRecord(NamedTuple):
    """One checked line of the input, in input order; the order of fields is that of the
    columns.
    """

    id: str
    own: int
    """Whether the id is the line's own: 0 no, 1 a text, `NUMBER_ID` a number."""
    digest: bytes
    lane: str
    source: int
    line: int
    offset: int
    length: int
    model: str = ""
    """The model that the row goes to first."""
    rule: str = ""
    """The rule that chose the model."""
    key: bytes = b""
    """The key of its answer in the response cache, which stands for all of the request;
    empty: not known.
    """
    columns: bytes = b""
    """The line's fields that are no part of the request, as one JSON object."""
    chain: bytes = b""
    """The beginnings of its request that other rows may share, the shortest first."""
    size: bytes = b""
    """What its time and dollars depend on, for a plan; empty: to be read again."""


class RowRef(NamedTuple):
    """The place of a row's line in the input, and the digest that it must have."""

    row: int
    source: int
    line: int
    offset: int
    length: int
    id: str
    digest: bytes


class RowKey(NamedTuple):
    """A row as the response cache answers it, with its place in the input."""

    row: int
    id: str
    model: str
    rule: str
    key: bytes
    own: int = 0
    source: int = 0
    line: int = 0
    columns: bytes = b""


class RowChoice(NamedTuple):
    """The rows of an input that a session takes, where not all of them."""

    ids: tuple[str, ...] = ()
    """Only rows of these; none given: of any."""
    sample: int | None = None
    """So many of these by chance, the same ones for the same *seed*."""
    seed: int = 0
    limit: int | None = None
    """The first so many of these."""


class RowFilter(NamedTuple):
    """The choice of rows to answer."""

    limit: int | None = None
    """Only the first so many of the input."""
    retry_failed: bool = False
    retry_cut: bool = False
    """Rows whose answers were cut off, too."""
    left_out: bool = False
    """Without those of `queries.leave_out_unknown`."""
    road: Road = "any"
    """Another road than `any` needs the tables of `roads.set_roads`."""


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
    """The result of a new look at the input."""

    rows: int
    duplicates: tuple[DuplicateId, ...]
    """Rows whose id an earlier row has; they were left out."""
    changed: int
    """Rows whose content changed since an earlier session answered them; they run
    again.
    """
    removed: int
    """Rows that an earlier session answered and the input no longer holds."""
    asked_otherwise: int = 0
    """Rows that were answered as another request (a model, a system prompt, ...) than
    they would be sent as now; they keep their answers.
    """
    in_batches_otherwise: int = 0
    """Rows that are in message batches as another request, and without an answer yet;
    they stay as they are.
    """
    asked_again: int = 0
    """Answered ones that run again because that was asked for."""
    drawn_from: int = 0
    """Rows that a sample was drawn from."""
    requests: int = 0
    """Different requests among them."""
    unknown_ids: tuple[str, ...] = ()
    """Ids that were asked for and that no row has."""
