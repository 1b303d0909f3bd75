"""What a success means whose body is no message of the API."""

from __future__ import annotations

from claudebatch.clients import error_table
from claudebatch.clients.headers import HeaderFacts
from claudebatch.clients.page_text import words_of
from claudebatch.clients.status_errors import clipped
from claudebatch.clients.web_page import is_web_page, page_text
from claudebatch.core.errors import AttemptError, StopRun
from claudebatch.core.jsonl import decode


def no_message(
    body: bytes, content_type: str, *, status: int, headers: HeaderFacts, reason: str
) -> AttemptError | StopRun:
    """The error for a *body* that cannot be read as a message, for that *reason*: a
    page, an error of the API's under a success, or an answer of some other API.
    """
    if is_web_page(body, content_type):
        return error_table.web_page(words_of(page_text(body)), status, headers)
    try:
        told = decode(body)
    except ValueError:
        told = None
    kind = told.get("type") if isinstance(told, dict) and told else "nothing"
    if kind is None:
        return error_table.other_api(words_of(page_text(body)), status, headers)
    if kind == "message" and ("content" in told or "usage" in told):
        return error_table.broken_message(reason, status, headers)
    error = told.get("error") if kind == "error" else None
    if not isinstance(error, dict):
        return error_table.bad_answer(reason, status, headers)
    # Gateways answer so that have sent their 200 before the API refused.
    kind, code, message = (
        value if isinstance(value := error.get(name), str) else None
        for name in ("type", "code", "message")
    )
    said = f"an error under a success: {clipped(message or kind or reason)}"
    meant = error_table.stream_failed(
        type=kind, code=code, message=said, request_id=headers.request_id
    )
    passes = isinstance(meant, AttemptError) and meant.retryable
    return error_table.bad_answer(said, status, headers) if passes else meant
