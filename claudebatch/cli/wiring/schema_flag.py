"""`--schema`: the name of a file, or the fields of the answers in a few words."""

from __future__ import annotations

from pathlib import Path

from claudebatch.cli.wiring.text_or_file import text_or_file
from claudebatch.setup.run_options import NamedSchema

_OPTION = "--schema"
_MARK = "@"


def named_schema(given: str | None) -> NamedSchema | None:
    """The schema that *given* means. Raises `ClaudebatchError`."""
    if given is None:
        return None
    name = _file(given)
    if name is None:
        return NamedSchema(_OPTION, given)
    return NamedSchema(name, text_or_file(f"{_MARK}{name}", _OPTION) or "")


def _file(given: str) -> str | None:
    """The file that *given* names; None where it is the schema itself."""
    if given.lstrip().startswith("{"):
        return None
    if given.startswith(_MARK):
        return given[1:]
    # Fields have no dots in their names, and a file may be called "name".
    return given if given.endswith(".json") or _is_file(given) else None


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # longer than a name can be, or with a NUL
        return False
