"""Tells a web page from a broken answer: nobody generated a token for a page."""

from __future__ import annotations

_BLANKS = b"\xef\xbb\xbf\xff\xfe \t\r\n"
# Beginnings of messages and of streams: of those it may be the content type that is
# wrong.
_OF_ANSWERS = (b"{", b"event:", b"data:", b":")
_LONGEST = 100_000


def is_web_page(body: bytes, content_type: str) -> bool:
    """Whether *body*, which came with a success and is no message, is a page.

    An empty body is none: it may be all that is left of an answer.
    """
    # The first bytes, as they are in UTF-16, too.
    start = body[:64].replace(b"\0", b"").lstrip(_BLANKS).lower()
    html = content_type.lower().startswith(("text/html", "application/xhtml"))
    return start.startswith(b"<") or bool(html and start and not start.startswith(_OF_ANSWERS))


def page_text(body: bytes) -> str:
    """The text of a page, whatever its encoding."""
    return body[:_LONGEST].replace(b"\0", b"").lstrip(_BLANKS).decode(errors="replace")
