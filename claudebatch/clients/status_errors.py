"""Our error for an error answer, whichever endpoint gave it.

The SDK's exception brings its status, and what it has read of the body; what that
means is the error table's to say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from claudebatch.clients import error_table
from claudebatch.clients.headers import HeaderFacts
from claudebatch.clients.page_text import is_page, words_of
from claudebatch.core.errors import AttemptError, StopRun

if TYPE_CHECKING:
    from anthropic import APIStatusError

# A gateway's error page can be megabytes; errors stand in the journal and on the
# screen.
_LONGEST_MESSAGE = 2000
_LONGEST_TYPE = 100


def cleanse(error: AttemptError | StopRun, hide: Callable[[str], str]) -> None:
    """Hide secrets: the server, or a library that quotes our request, may repeat
    one.
    """
    error.message = hide(error.message)
    if isinstance(error, AttemptError):
        error.type = hide(error.type)[:_LONGEST_TYPE]
        error.request_id = error.request_id and hide(error.request_id)


def error_of(error: APIStatusError, headers: HeaderFacts) -> AttemptError | StopRun:
    """Our error for an answer with a status that is no success."""
    if error.status_code < 300:
        # A 101 above all: no client of ours asks for another protocol.
        return error_table.bad_answer(
            f"the server answers {error.status_code}, which no request of ours asks for",
            error.status_code,
            headers,
        )
    if error.status_code < 400:
        return error_table.redirected(
            error.status_code, error.response.headers.get("location"), headers
        )
    message = _text(error.api_message) or _text(error.message) or ""
    page = is_page(error.response.headers.get("content-type", ""), message)
    # A firewall's page may pass on an id, too.
    own = _is_error_object(error.body) or (headers.request_id is not None and not page)
    return error_table.from_status(
        error.status_code,
        type=_text(error.type),
        code=_text(error.error_code),
        message=words_of(message) if page or not own else clipped(message),
        headers=headers,
        own=own,
        page=page,
    )


def _is_error_object(body: object) -> bool:
    """Whether *body* has the form in which the API, and nobody else, words its
    errors.
    """
    return isinstance(body, dict) and body.get("type") == "error"


def clipped(message: str) -> str:
    """The beginning of *message*."""
    return message if len(message) <= _LONGEST_MESSAGE else message[:_LONGEST_MESSAGE] + "…"


def _text(value: object) -> str | None:
    """*value* if it is a text, as the API has it; None for other types, which only
    gateways send. Lone surrogates become `?`.
    """
    return value.encode(errors="replace").decode() if isinstance(value, str) else None
