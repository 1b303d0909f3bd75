"""Web pages that come in the place of an answer: how they are known, and the words in
them that a message may quote.
"""

from __future__ import annotations

import html
import re

LONGEST_QUOTE = 200
# What stands further down in a page is never its message, and a page can be megabytes.
_LOOKED_AT = 20_000
_BEGINS = re.compile(
    r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype|html|head|body)", re.I | re.S
)
_UNSEEN = re.compile(r"<(script|style|svg)\b.*?(?:</\1\s*>|$)|<!--.*?(?:-->|$)", re.I | re.S)
_TAG = re.compile(r"<[^>]*(?:>|$)")


def is_page(content_type: str, body: str) -> bool:
    """Whether *body* is a web page, as its header or its beginning says."""
    if content_type.lower().startswith(("text/html", "application/xhtml")):
        return True
    return _BEGINS.match(body.lstrip("\ufeff")[:_LOOKED_AT]) is not None


def words_of(body: str) -> str:
    """What a page, or any other text, says: without tags, on one line, and short."""
    text = _TAG.sub(" ", _UNSEEN.sub(" ", body[:_LOOKED_AT]))
    words = " ".join(html.unescape(text).split())
    return words if len(words) <= LONGEST_QUOTE else words[:LONGEST_QUOTE].rstrip() + "…"
