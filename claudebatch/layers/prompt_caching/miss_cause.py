"""Why the API did not read what it had written, where an answer says so."""

from __future__ import annotations

from claudebatch.core.domain import Reply
from claudebatch.core.jsonl import decode

_NOT_TOLD = "its answers do not say why"
_WORDS = {
    "model_changed": "the model differs",
    "system_changed": "the system prompt differs",
    "tools_changed": "the tools differ",
    "messages_changed": "the messages differ",
    "previous_message_not_found": "the API does not know the answer that it was compared with",
}


def miss_cause(reply: Reply | None) -> str:
    """The cause in words, of `diagnostics` in *reply*, which the API adds for requests
    that ask for it.
    """
    if reply is None or b'"cache_miss_reason"' not in reply.message:
        return _NOT_TOLD
    diagnostics = decode(reply.message).get("diagnostics")
    reason = diagnostics.get("cache_miss_reason") if isinstance(diagnostics, dict) else None
    name = reason.get("type") if isinstance(reason, dict) else None
    return _WORDS.get(str(name), _NOT_TOLD)
