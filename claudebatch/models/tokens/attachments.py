"""The tokens of images and documents in a request: in messages, tool results and
documents.

A document that is not plain text is bounded by the whole context window: the pages of a
PDF, the content of an uploaded file or of a URL, and the cuts that citations make are
known to the API alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from claudebatch.models.catalog import ModelFacts
from claudebatch.models.tokens.images import image_tokens
from claudebatch.models.tokens.pdf_pages import pages_of

# Of a PDF that shows no pages.
_PDF_BYTES_PER_PAGE = 60_000
# The API reads a page as text (1,500 to 3,000 tokens) and as an image.
_PDF_PAGE_TOKENS = 3_500
_UNSEEN_DOCUMENT_TOKENS = 10 * _PDF_PAGE_TOKENS


class Attachments:
    """The sums over every image and document of one request."""

    def __init__(self, params: Mapping[str, Any], facts: ModelFacts) -> None:
        self._facts = facts
        # Mutable state, changed only by the walk below, which ends in this constructor.
        self.base64_bytes = 0
        """Bytes of the body in base64, which are not text."""
        self.tokens = 0
        """Expected tokens."""
        self.images = 0
        self.fills_window = False
        """Whether the size of some document is unknown offline."""
        for message in params.get("messages") or ():
            if isinstance(message, dict):
                self._walk(message.get("content"))

    def _walk(self, content: Any) -> None:
        for block in content if isinstance(content, list) else ():
            match block:
                case {"type": "image", "source": source}:
                    self._add_image(source)
                case {"type": "document", "source": source}:
                    self._add_document(source, block.get("citations"))
                case {"content": list() as inner}:
                    self._walk(inner)  # results of tools, the caller's or the API's
                case {"content": dict() as inner}:
                    self._walk([inner])

    def _add_image(self, source: Any) -> None:
        self.images += 1
        self.tokens += image_tokens(source, self._facts)
        self.base64_bytes += _base64_length(source)

    def _add_document(self, source: Any, citations: Any) -> None:
        kind = source.get("type") if isinstance(source, dict) else None
        if kind == "content":
            self._walk(source.get("content"))
        elif kind == "base64":
            length = _base64_length(source)
            self.base64_bytes += length
            by_size = 1 + length * 3 // 4 // _PDF_BYTES_PER_PAGE
            self.tokens += _PDF_PAGE_TOKENS * (
                (pages_of(source["data"]) if length else 0) or by_size
            )
        elif kind != "text":
            self.tokens += _UNSEEN_DOCUMENT_TOKENS
        # Citations cut a document into pieces that only the API knows: no bound but the
        # window is safe.
        cited = isinstance(citations, dict) and bool(citations.get("enabled"))
        self.fills_window = self.fills_window or cited or kind not in ("content", "text")


def _base64_length(source: Any) -> int:
    data = (
        source.get("data") if isinstance(source, dict) and source.get("type") == "base64" else None
    )
    return len(data) if isinstance(data, str) and data.isascii() else 0
