"""A value on the command line that cannot be used."""

from __future__ import annotations

import typer


class BadValue(typer.BadParameter):
    """A usage error in our own words; *id* is its name in docs/messages.md."""

    def __init__(self, id: str, message: str) -> None:
        super().__init__(message)
        self.id = id
