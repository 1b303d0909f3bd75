"""Why the API did not read what it had written, where an answer says so: of rows that
ask for `diagnostics` themselves, and of two that ask once a beginning is given up.

As documented: an answer can only be compared with one whose request asked as well, by
the model, the tools, the system prompt and then the messages; nothing is billed for it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from claudebatch.core.domain import Call, Reply
from claudebatch.core.jsonl import decode, encode_in_order

_NOT_TOLD = "its answers do not say why"
_FIELD = "diagnostics"
_WORDS = {
    "model_changed": "the model differs",
    "system_changed": "the system prompt differs",
    "tools_changed": "the tools differ",
    "messages_changed": "the messages differ",
    "previous_message_not_found": "the API does not know the answer that it was compared with",
}
# Rows have messages of their own.
_ALIKE = "model, tools and system prompt come alike, and the API has not kept them"
_FOUND = {
    "": _ALIKE,
    "messages_changed": _ALIKE,
    **{
        kind: f"{_WORDS[kind]} at the API though sent alike: look at what stands in between"
        for kind in ("model_changed", "system_changed", "tools_changed")
    },
}


def miss_cause(reply: Reply | None) -> str:
    """The cause in words, of `diagnostics` in *reply*, which the API adds for requests
    that ask for it.
    """
    if reply is None or b'"cache_miss_reason"' not in reply.message:
        return _NOT_TOLD
    return _WORDS.get(_kind(decode(reply.message)) or "", _NOT_TOLD)


class MissQuestion:
    """Has two rows of a beginning that is not read ask why, one after the other. They
    are sent anyway, so it costs nothing; where the field is refused, nobody asks again.
    """

    def __init__(self) -> None:
        # Mutable, changed by the methods below only: the digest of the beginning, and
        # whether there was one; the answer to compare with, whether a row is asking.
        self._beginning: bytes | None = None
        self._begun = False
        self._before: str | None = None
        self._asking = False

    def about(self, beginning: bytes) -> None:
        """The beginning of this digest is not read; of others nobody asks then."""
        if not self._begun:
            self._begun, self._beginning = True, beginning

    def asked_in(self, call: Call, beginning: bytes | None) -> Call | None:
        """*call* with the question; None: it does not ask."""
        if self._asking or beginning is None or beginning != self._beginning:
            return None
        body = decode(call.body)
        if _FIELD in body:
            return None
        self._asking = True
        body[_FIELD] = {"previous_message_id": self._before}
        return replace(call, body=encode_in_order(body))

    def answered(self, reply: Reply) -> str | None:
        """The cause in words, once *reply* is the second that was asked for it."""
        message, before = decode(reply.message), self._before
        self._asking, self._before = False, message.get("id")
        if before is not None or _FIELD not in message or not isinstance(self._before, str):
            self.failed()
        return None if before is None else _FOUND.get(_kind(message) or "?")

    def failed(self) -> None:
        """Nobody is to ask any more."""
        self._beginning, self._asking = None, False


def _kind(message: dict[str, Any]) -> str | None:
    """The kind of the cause that *message* tells; empty: the API found no difference;
    None: it tells of none.
    """
    if _FIELD not in message:
        return None
    found = message[_FIELD]
    if found is None:
        return ""
    reason = found.get("cache_miss_reason") if isinstance(found, dict) else None
    return str(reason.get("type")) if isinstance(reason, dict) else None
