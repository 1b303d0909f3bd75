"""Removes secrets from texts of others: a gateway may quote our own key in its
error.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote

_SHORTEST = 12
"""Characters of a secret. Shorter values are ordinary words as well (`prod`,
`simulated`), and every text would lose those words.
"""
_USERINFO = re.compile(r"(?<=://)[^/\s@]*@")
_HIDDEN = "[hidden]"


class Redactor:
    """Hides the secrets of this process in texts: plain, URL-encoded and in base64."""

    def __init__(self, values: Iterable[str]) -> None:
        spellings = {
            spelling
            for value in values
            if len(value) >= _SHORTEST
            for spelling in _spellings(value)
        }
        # The longest first: where one secret begins with another, all of it is hidden.
        pattern = "|".join(
            re.escape(spelling) for spelling in sorted(spellings, key=len, reverse=True)
        )
        self._pattern = re.compile(pattern) if pattern else None

    def hide(self, text: str) -> str:
        """*text* without the secrets, and without the user and password of a URL."""
        if self._pattern is not None:
            text = self._pattern.sub(_HIDDEN, text)
        return _USERINFO.sub(_HIDDEN + "@", text) if "://" in text else text


def _spellings(value: str) -> Iterator[str]:
    yield value
    yield quote(value, safe="")
    data = value.encode(errors="replace")
    for before in range(3):
        # A text has three encodings in base64, by its offset modulo 3; the characters
        # at its ends depend on the neighbouring bytes and are left out.
        encoded = base64.b64encode(b"\0" * before + data).decode().rstrip("=")
        yield encoded[4 if before else 0 : -1]
        yield (
            base64.urlsafe_b64encode(b"\0" * before + data)
            .decode()
            .rstrip("=")[4 if before else 0 : -1]
        )
