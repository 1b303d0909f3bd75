"""Numbers with their noun, in singular and plural."""

from __future__ import annotations


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """`1 row`, `2 rows`, `2 retries`; with a verb `1 row was`, `2 rows were`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
