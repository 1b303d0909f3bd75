"""What a download may show instead of the answers of its batch."""

from __future__ import annotations


class NotOurs(Exception):
    """The results bear another nonce: this is another batch."""

    def __init__(self, nonce: str | None) -> None:
        """*nonce* of the other one; None: it is not made by us at all."""
        super().__init__(nonce)
        self.nonce = nonce


class NothingProved(Exception):
    """The batch may be ours, and its results have no line: nothing will tell."""


class ResultsIncomplete(Exception):
    """The results end well and lack rows: something on the way may have cut them."""
