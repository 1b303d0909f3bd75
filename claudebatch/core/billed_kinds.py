"""The kinds of tokens, and of other units, that the API counts and bills apart.

Each is declared once, beside its count in `domain.Usage`. From there come what is
parsed out of an answer, its price, the columns of journal and ledger, their checksums,
sums, views and reports. A new kind is a new field of `Usage` and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from operator import attrgetter
from typing import Any, Literal

_KEY = "billed"


@dataclass(frozen=True, slots=True)
class BilledKind:
    """One billed kind: its count, price, columns and label."""

    column: str
    """The column of its count, in the journal and in the ledger."""
    price: str
    """Its name among prices: `prices:` of the configuration, `claudebatch models`."""
    side: Literal["input", "output", "searches"] = "input"
    """Where it counts. All input together is the length of the prompt."""
    group: str = ""
    """The object within an answer's `usage` that holds its count; empty: `usage`
    itself.
    """
    rest_of: str = ""
    """The count that it is a part of: all of it but the other kinds of its group."""
    limited: bool = True
    """Whether it counts against the limit of input tokens per minute."""
    genai: str = ""
    """The name of its price in genai-prices."""
    times_input: Decimal | None = Decimal(1)
    """Its price where none is given, as a multiple of that of input; None: must be
    given.
    """
    only_with: bytes = b""
    """The words without which a request that caches cannot have it; empty: always may.
    """
    shown_as: str = ""
    """The sum that reports show it in; empty: one of its own."""
    heading: str = ""
    """The column of the spend table that it is added to; empty: none."""
    added: bool = True
    """Whether files are older than it: see `checksums` for what follows."""
    name: str = ""
    """The field of `Usage`, which is the API's own name. Filled in."""

    @property
    def reported(self) -> str:
        """The name of the sum in which reports show it."""
        return self.shown_as or self.name

    @property
    def rate_column(self) -> str:
        """The ledger's column for its price at the run's dearest model."""
        return f"dearest_{self.price.removeprefix('cache_')}"


def billed(kind: BilledKind) -> Any:
    """The default and the metadata of a field of `Usage` that counts *kind*."""
    return field(default=0, metadata={_KEY: kind})


def billed_kinds(usage: type) -> tuple[BilledKind, ...]:
    """The kinds that *usage* declares: input, then output, then searches.

    Columns and checksums of existing files are in this order.
    """
    declared = [
        _named(field.metadata, field.name) for field in fields(usage) if _KEY in field.metadata
    ]
    sides = ("input", "output", "searches")
    return tuple(kind for side in sides for kind in declared if kind.side == side)


def counts_of(kinds: Iterable[BilledKind]) -> Callable[[object], tuple[int, ...]]:
    """What reads the counts of *kinds*, of which there are two or more, from a
    `Usage`.
    """
    return attrgetter(*(kind.name for kind in kinds))


def _named(metadata: Mapping[str, Any], name: str) -> BilledKind:
    from_field: BilledKind = metadata[_KEY]
    return replace(from_field, name=name)
