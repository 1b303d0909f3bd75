"""Takes secrets out of what strangers say: a gateway may quote our own key back at us
in its error.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote

_SHORTEST = 12
"""Characters of a secret. Shorter ones are ordinary words too (`prod`, `simulated`),
and texts would lose those.
"""
_USERINFO = re.compile(r"(?<=://)[^/\s@]*@")
_HIDDEN = "[hidden]"


class Redactor:
    """Knows the secrets of this process and finds them in texts: plain, URL-encoded or
    in base64.
    """

    def __init__(self, values: Iterable[str]) -> None:
        spellings = {
            spelling
            for value in values
            if len(value) >= _SHORTEST
            for spelling in _spellings(value)
        }
        # The longest first: of two that begin alike the whole one goes.
        found = "|".join(
            re.escape(spelling) for spelling in sorted(spellings, key=len, reverse=True)
        )
        self._pattern = re.compile(found) if found else None

    def hide(self, text: str) -> str:
        """*text* without any of them, and without the user and password of a URL."""
        if self._pattern is not None:
            text = self._pattern.sub(_HIDDEN, text)
        return _USERINFO.sub(_HIDDEN + "@", text) if "://" in text else text


def _spellings(value: str) -> Iterator[str]:
    yield value
    yield quote(value, safe="")
    data = value.encode(errors="replace")
    for before in range(3):
        # In base64 a text looks different by its place; the letters at its ends depend
        # on its neighbours.
        encoded = base64.b64encode(b"\0" * before + data).decode().rstrip("=")
        yield encoded[4 if before else 0 : -1]
        yield (
            base64.urlsafe_b64encode(b"\0" * before + data)
            .decode()
            .rstrip("=")[4 if before else 0 : -1]
        )
