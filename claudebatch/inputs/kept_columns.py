"""Fields of a line that are no part of the request: kept, so that results give them
back.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Literal, TypeAlias

from claudebatch.core.jsonl import decode
from claudebatch.core.typos import meant, wrong_letters

Extra: TypeAlias = Literal["keep", "ignore", "refuse"]
"""What becomes of fields that are no part of the request."""

_LONG = 8
# A kept column with such a name, or such a value, may have been meant as an attachment.
_ATTACHMENTS = frozenset({"image", "images", "file", "files", "document", "documents", "pdf"})
_PLACE = re.compile(
    r"(?:https?://|\.{0,2}/|[A-Za-z]:\\)?\S+\.(?:png|jpe?g|gif|webp|pdf|docx?)", re.IGNORECASE
)


def is_column(name: str, known: Iterable[str], reserved: Collection[str]) -> bool:
    """Whether the field *name* can be kept: it is none of the *reserved* names, and
    misspells neither a *known* one nor one of these.
    """
    if name in reserved:
        return False
    near = meant(name, (*known, *reserved))
    # Two letters make many short words of each other: "stars" is no "tags".
    most = 1 if len(name) < _LONG else 2
    return near is None or wrong_letters(name.strip().lower(), near) > most


def attachment(columns: bytes) -> str | None:
    """The name of the first of *columns*, one JSON object, that looks like a file to be
    sent along.
    """
    for name, value in decode(columns).items():
        if name.lower() in _ATTACHMENTS or (isinstance(value, str) and _PLACE.fullmatch(value)):
            return str(name)
    return None
