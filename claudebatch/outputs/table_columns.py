"""The columns of a table: the row's id, its own fields, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from claudebatch.core.errors import ClaudebatchError
from claudebatch.core.typos import meant
from claudebatch.outputs.kinds import Kind, SeenKind
from claudebatch.outputs.line_values import ERROR, FieldPath, LineValues, text_of

INPUT: Final = "input"
"""The member of a result line that holds the row's own fields."""

PARSED: Final = "parsed"
"""The member that holds what was wanted of the answer."""

MOST_INPUT_COLUMNS: Final = 1000
"""Fields of rows that become columns; where there are more, they stand together in one
column as JSON. SQLite holds 2,000 columns.
"""


@dataclass(frozen=True, slots=True)
class TableColumn:
    """One column of a table."""

    name: str
    path: FieldPath
    """Where its values stand in a result line."""
    kind: Kind = "text"


_ID = TableColumn("id", ("id",))
_AFTER = (
    TableColumn("answer", ("text",)),
    TableColumn("status", ("status",)),
    TableColumn("ending", ("ending",)),
    TableColumn("model", ("model",)),
    TableColumn("cost_usd", ("cost_usd",), "dollars"),
    TableColumn("error", ERROR),
    TableColumn("line", ("line",), "integer"),
    TableColumn("file", ("file",)),
)
# In a table where a row has it: a rehearsal must not pass for the real thing.
_WHERE_USED = (
    TableColumn("invalid", ("invalid",)),
    TableColumn("fallback_reason", ("fallback_reason",)),
    TableColumn("simulated", ("simulated",), "boolean"),
)
_ON_DEMAND = (
    TableColumn("input_tokens", ("usage", "input_tokens"), "integer"),
    TableColumn("output_tokens", ("usage", "output_tokens"), "integer"),
    TableColumn("requested_model", ("requested_model",)),
    TableColumn("route", ("route",)),
    TableColumn("source", ("source",)),
    TableColumn("via", ("via",)),
    TableColumn("stop_reason", ("stop_reason",)),
    TableColumn("attempts", ("attempts",), "integer"),
    TableColumn("latency_ms", ("latency_ms",), "integer"),
    TableColumn("request_id", ("request_id",)),
    TableColumn("replaced_characters", ("replaced_characters",), "integer"),
    TableColumn("text", ("text",)),
    TableColumn("usage", ("usage",)),
    TableColumn("message", ("message",)),
    TableColumn(INPUT, (INPUT,)),
    TableColumn(PARSED, (PARSED,)),
)
KNOWN: Final[Mapping[str, TableColumn]] = {
    column.name: column for column in (_ID, *_AFTER, *_WHERE_USED, *_ON_DEMAND)
}
"""Columns that can be chosen of any results, by name."""
_FOUND_OUT = frozenset({"id", PARSED})
# Objects of a result line whose members have dotted names.
_OBJECTS = ("error", "usage", "message", INPUT, PARSED)


def path_of(name: str) -> FieldPath:
    """Where the values of the column *name* stand: a column of all results, a dotted
    name of a member such as `error.type`, or one of the row's own fields.
    """
    if name in KNOWN:
        return KNOWN[name].path
    first, dot, rest = name.partition(".")
    if dot and first in (INPUT, PARSED):
        # A field's own name may have dots in it.
        return (first, rest)
    return tuple(name.split(".")) if dot and first in _OBJECTS else (INPUT, name)


def needs_message(names: Iterable[str] | None) -> bool:
    """Whether one of the chosen columns *names* shows a part of the API's message."""
    return any(path_of(name)[0] == "message" for name in names or ())


def check_names(names: Sequence[str], fields: Iterable[str]) -> None:
    """Raise `ClaudebatchError` where one of the chosen *names* is no column of results
    whose rows have the *fields*, or stands there twice.

    *fields* is read no further than needed.
    """
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen:
            raise ClaudebatchError("E653", f'--columns has "{name}" twice', fix="name it once")
        seen.add(name.lower())
    wanted = {path[1]: name for name in names if (path := path_of(name))[0] == INPUT and path[1:]}
    there: dict[str, None] = {}
    for field in fields if wanted else ():
        wanted.pop(field, None)
        if not wanted:
            return
        if len(there) < MOST_INPUT_COLUMNS:
            there[field] = None
    for field, name in wanted.items():
        raise _no_column(name, field, there)


class ColumnSurvey:
    """Looks through all results for the columns of their table: one pass, memory for
    the names only.
    """

    def __init__(self, names: Sequence[str] | None = None) -> None:
        """*names*: the chosen columns, in their order; None: the usual ones."""
        self._names = names
        self._chosen = {name: path_of(name) for name in names or ()}
        # Mutable: what was seen so far.
        self._kinds = {name: SeenKind() for name in (*self._chosen, *_FOUND_OUT)}
        self._fields: dict[str, SeenKind] = {}
        self._parts: dict[str, SeenKind] = {}
        self._whole = ""  # the name of their one column, where some is no object
        self._used: set[str] = set()
        self._other_id = False

    def add(self, record: LineValues) -> None:
        """Take one result into account."""
        self._kinds["id"].add(record.raw(("id",)))
        if self._names is not None:
            for name, path in self._chosen.items():
                self._kinds[name].add(record.raw(path))
            return
        fields = record.members((INPUT,))
        if not self._other_id and "id" in fields:
            own = text_of(fields["id"])
            self._other_id = own is not None and own != text_of(record.raw(("id",)))
        for field, raw in fields.items():
            if field not in self._fields and len(self._fields) <= MOST_INPUT_COLUMNS:
                self._fields[field] = SeenKind()
            if field in self._fields:
                self._fields[field].add(raw)
        self._add_value(record)
        for column in _WHERE_USED:
            if column.name not in self._used and record.raw(column.path) is not None:
                self._used.add(column.name)

    def _add_value(self, record: LineValues) -> None:
        value = record.raw((PARSED,))
        if value is None:
            return
        self._kinds[PARSED].add(value)
        parts = record.members((PARSED,))
        if not value.startswith(b"{") or len(self._parts | parts) > MOST_INPUT_COLUMNS:
            self._whole = PARSED
            return
        for name, raw in parts.items():
            self._parts.setdefault(name, SeenKind()).add(raw)

    def columns(self) -> list[TableColumn]:
        """The columns, in their order; no two names differ in case only."""
        if self._names is not None:
            return [
                TableColumn(name, path, self._kind(name)) for name, path in self._chosen.items()
            ]
        used = [column for column in _WHERE_USED if column.name in self._used]
        fixed = (*_AFTER, *used)
        taken = {column.name for column in (_ID, *fixed)} | ({PARSED} & {self._whole})
        first = TableColumn(_ID.name, _ID.path, self._kind("id"))
        # The row's own fields first: their names are those of the file that it came in.
        own = list(self._own_fields(taken))
        return [first, *own, *self._value_parts(taken), *fixed]

    def _value_parts(self, taken: set[str]) -> Iterator[TableColumn]:
        """The members of the wanted values, or these in one column."""
        if self._whole:
            yield TableColumn(PARSED, (PARSED,), self._kind(PARSED))
            return
        for part, seen in self._parts.items():
            name = part
            while name.lower() in taken:
                name = f"{PARSED}.{name}"
            taken.add(name.lower())
            yield TableColumn(name, (PARSED, part), seen.kind)

    def _own_fields(self, taken: set[str]) -> Iterator[TableColumn]:
        if len(self._fields) > MOST_INPUT_COLUMNS:
            yield KNOWN[INPUT]
            return
        for field, seen in self._fields.items():
            # The id that results have, once more.
            if field == "id" and not self._other_id:
                continue
            name = field
            # SQLite and spreadsheets take no two names that differ in case only.
            while name.lower() in taken:
                name = f"{INPUT}.{name}"
            taken.add(name.lower())
            yield TableColumn(name, (INPUT, field), seen.kind)

    def _kind(self, name: str) -> Kind:
        known = KNOWN.get(name)
        if known is not None and name not in _FOUND_OUT:
            return known.kind
        return self._kinds[name].kind


def _no_column(name: str, field: str, there: Iterable[str]) -> ClaudebatchError:
    there = list(there)
    near = meant(field, (*there, *KNOWN))
    has = f"rows have {', '.join(there)}" if there else "rows have no fields of their own"
    return ClaudebatchError(
        "E654",
        f'--columns: there is no column "{name}"',
        fix=f'did you mean "{near}"?' if near else f"{has}; results {', '.join(KNOWN)}",
    )
