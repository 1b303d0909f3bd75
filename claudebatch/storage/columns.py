"""The columns in which attempts and results are stored, declared once.

From these come the tables of the journal and of the ledger, the statements that write
them, and the journal's checksums. The counts come from `domain.BILLED_KINDS`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal, TypeAlias

from claudebatch.core.domain import BILLED_KINDS

SqlValue: TypeAlias = int | str | bytes | None


@dataclass(frozen=True, slots=True)
class Column:
    """One column, and where its value comes from."""

    name: str
    type: Literal["INTEGER", "TEXT", "BLOB"]
    value: str = ""
    """Its place in the record, as a dotted path; empty: computed when it is written."""
    default: SqlValue = None
    """Its value until it is written, and in files that are older than the column."""
    required: bool = True
    """Whether it is never NULL."""
    added: bool = False
    """Whether there are files that were made without it."""

    @property
    def definition(self) -> str:
        """As `CREATE TABLE` and `ADD COLUMN` have it."""
        # Constants only: no value from outside may reach a statement as text.
        default: dict[SqlValue, str] = {None: "", "": " DEFAULT ''", b"": " DEFAULT x''"}
        if isinstance(self.default, int):
            default[self.default] = f" DEFAULT {self.default}"
        null = " NOT NULL" if self.required else ""
        return f"{self.name} {self.type}{null}{default[self.default]}"


COUNTS = tuple(
    Column(kind.column, "INTEGER", f"usage.{kind.name}", default=0, added=kind.added)
    for kind in BILLED_KINDS
)
"""The count of each billed kind in an answer."""

# Checksums of existing journals were made in this order: any other one would make all
# of them wrong.
INTENT_COLUMNS = (
    Column("attempt", "INTEGER", "attempt"),
    Column("row", "INTEGER", "row"),
    Column("model", "TEXT", "model"),
    Column("worst", "INTEGER", "worst"),
    Column("sent_ms", "INTEGER", "sent_ms"),
    Column("day", "TEXT", "day", default=""),
    Column("rule", "TEXT", "rule", default=""),
    Column("input_estimate", "INTEGER", "input_estimate", default=0),
    Column("output_estimate", "INTEGER", "output_estimate", default=0),
    Column("output_bound", "INTEGER", "output_bound", default=0),
    Column("batch", "INTEGER", "batch", default=0, added=True),
)
"""An `AttemptIntent` in the journal: written before the attempt is sent."""

# `.real` of a bool is 0 or 1, as SQLite gives it back: a checksum over True would not
# fit the row that is read.
OUTCOME_COLUMNS = (
    Column("state", "INTEGER", "state", default=0),
    Column("cost", "INTEGER", "price.cost", default=0),
    Column("cost_known", "INTEGER", "price.known.real", default=1),
    *COUNTS,
    Column("tier", "TEXT", "usage.service_tier", required=False),
    Column("geo", "TEXT", "usage.inference_geo", required=False),
    Column("speed", "TEXT", "usage.speed", required=False),
    Column("price_version", "TEXT", "price.version", default=""),
    Column("latency_ms", "INTEGER", "http.latency_ms", default=0),
    Column("status", "INTEGER", "http.status", required=False),
    Column("request_id", "TEXT", "http.request_id", required=False),
    Column("error", "TEXT", "http.error", required=False),
    Column("simulated", "INTEGER", "simulated.real", default=0),
    Column("ending", "INTEGER", "ending.real", default=0, added=True),
)
"""The columns that an `AttemptRecord` adds to it when the attempt has ended."""

BODY = Column("body", "BLOB", "body", required=False)
DIGEST = Column("digest", "BLOB", required=False)
"""The checksum of the body; it stands for the body in that of the row."""
CHECKSUM = Column("seal", "BLOB", default=b"")
"""The checksum of a row of the journal."""

RESULT_COLUMNS = (
    Column("row", "INTEGER", "row"),
    Column("ok", "INTEGER", "ok.real"),
    Column("head", "BLOB", "head"),
    Column("attempt", "INTEGER", "attempt", required=False),
    Column("body", "BLOB", "body", required=False),
    Column("source", "INTEGER", "free.source", default=0),
    Column("saved", "INTEGER", "free.saved", default=0),
    Column("day", "TEXT", "free.day", default=""),
    Column("place", "BLOB", "place", default=b"", added=True),
)
"""A `ResultRecord` in the journal."""

_OF_INTENT = (*INTENT_COLUMNS, Column("id", "TEXT", "id"))
_OF_ATTEMPT = {
    **{column.name: (column, f"intent.{column.value}") for column in _OF_INTENT},
    **{column.name: (column, column.value) for column in OUTCOME_COLUMNS},
}
# The order of columns in docs/ledger.md; SQL of users may rely on it.
_LEDGER_ORDER = (
    *("attempt", "row", "id", "day", "sent_ms", "model", "rule", "tier"),
    *(column.name for column in COUNTS),
    *("geo", "speed", "price_version", "cost", "cost_known", "worst", "state", "request_id"),
    *("error", "status", "latency_ms", "input_estimate", "output_estimate", "output_bound"),
    *("ending", "batch"),
)
LEDGER_COLUMNS = tuple(
    Column(
        name,
        column.type,
        value,
        default=column.default if column.added else None,
        required=column.required,
        added=column.added,
    )
    for name in _LEDGER_ORDER
    for column, value in (_OF_ATTEMPT[name],)
)
"""An `AttemptRecord` in the ledger, after the run that it belongs to."""


def names(columns: Iterable[Column]) -> tuple[str, ...]:
    """The names of *columns*."""
    return tuple(column.name for column in columns)


def listed(columns: Iterable[Column], prefix: str = "") -> str:
    """The names of *columns* as a statement lists them."""
    return ", ".join(f"{prefix}{column.name}" for column in columns)


def defined(columns: Iterable[Column]) -> str:
    """*columns* as `CREATE TABLE` has them."""
    return ", ".join(column.definition for column in columns)


def assigned(columns: Iterable[Column]) -> str:
    """*columns*, each set to a parameter."""
    return ", ".join(f"{column.name} = ?" for column in columns)


def marks(count: int) -> str:
    """So many parameters."""
    return ", ".join("?" * count)


def values_of(columns: Iterable[Column]) -> Callable[[object], tuple[Any, ...]]:
    """A function that reads the values of *columns* out of their record."""
    return attrgetter(*(column.value for column in columns))


def add_missing(connection: sqlite3.Connection, table: str, columns: Iterable[Column]) -> None:
    """Add those of *columns* to *table* that a file from before them lacks."""
    for column in missing(connection, table, columns):
        connection.execute(f"ALTER TABLE {table} ADD COLUMN {column.definition}")


def missing(
    connection: sqlite3.Connection, table: str, columns: Iterable[Column]
) -> Iterator[Column]:
    """Those of *columns* that *table* does not have."""
    found = connection.execute("SELECT name FROM pragma_table_info(?)", (table,)).fetchall()
    there = {name for (name,) in found}
    return (column for column in columns if column.name not in there)
