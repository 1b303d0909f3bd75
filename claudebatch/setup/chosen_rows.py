"""The rows that a command chooses, read from the text of its options."""

from __future__ import annotations

from collections.abc import Iterable

from claudebatch.core.errors import ClaudebatchError
from claudebatch.inputs import Selection
from claudebatch.inputs.selection import Condition, parse_rows


def chosen_rows(
    *,
    rows: str | None = None,
    ids: tuple[str, ...] | None = None,
    where: Iterable[str] = (),
    sample: int | None = None,
    seed: int | None = None,
    limit: int | None = None,
) -> Selection:
    """What these options choose, beside *limit*. Raises `ClaudebatchError`."""
    if sample is not None and limit is not None:
        raise ClaudebatchError(
            "E066",
            "--sample and --limit both say how many rows",
            fix="--sample takes them by chance, --limit from the top: give one of them",
        )
    if seed is not None and sample is None:
        raise ClaudebatchError("E075", "--seed is for --sample", fix="add --sample 20")
    if ids == ():
        raise ClaudebatchError("E067", "--id names no row", fix="write --id a,b")
    return Selection(
        rows=() if rows is None else parse_rows(rows),
        ids=ids or (),
        where=tuple(map(Condition.parsed, where)),
        sample=sample,
        seed=seed or 0,
    )
