"""The meaning of every failure: one table, from the SDK's errors to ours.

Branches on status and on `error_code`, not on the message, whose wording can change.
The exceptions have no code of their own: 400s that mean the whole account, a 400 about
the model's window, and a 429 about concurrency.
"""

from __future__ import annotations

from typing import Any

from claudebatch.clients.headers import HeaderFacts
from claudebatch.core.errors import (
    AccountRefused,
    AttemptError,
    Blocked,
    LimitKind,
    NotServed,
    PathFault,
    RateLimited,
    StopRun,
    Unreachable,
)
from claudebatch.core.limit_headers import Limits

_CONSOLE = "https://platform.claude.com/settings"
# A 429 of this kind lasts until the month ends: a wait and a retry would never help.
_SPEND_CODES = {"enforced_spend_limit_reached", "contract_spend_limit_reached"}
# A 400 that every other row would get as well: the run stops instead of failing them
# one by one.
_ACCOUNT_400 = (
    "You have reached your specified API usage limits",
    "You have reached your specified workspace API usage limits",
    "Your credit balance is too low",
)
_ACCOUNT_CODES = {
    "organization_on_hold",
    "cmek_key_disabled",
    "cmek_key_network_blocked",
    "claude_code_key_creator_not_member",
}
# What only the making of a batch may be answered with.
_BATCH_CODES = {"workspace_human_review_disabled"}
# Firewalls answer a prompt that they dislike with these; portals and filters, too.
_REFUSALS_OF_A_FIREWALL = {403, 406, 418, 451}
# Of somebody else, these say the same as when the API says them.
_SAME_FROM_ANYBODY = {401, 402, 408, 409, 413, 429, 431}
# Of somebody else: the request did not get as far as the API.
_WRONG_WAY = {404, 407, 421, 425, 511}
# Another model may have a longer window. Two wordings: the prompt alone, and the prompt
# with its `max_tokens`.
_TOO_LONG_400 = ("prompt is too long", "input length and `max_tokens` exceed context limit")
_FIXES = {
    400: f"raise the limit or add credit at {_CONSOLE}/billing, then run the same command",
    401: f"check the key (ANTHROPIC_API_KEY) at {_CONSOLE}/keys, then run the same command",
    402: f"check the billing at {_CONSOLE}/billing, then run the same command",
    403: f"check what the key may use at {_CONSOLE}/keys, then run the same command",
    429: f"wait for the new month or raise the spend limit at {_CONSOLE}/limits, then run the "
    f"same command",
}
_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
# An `error` event in a stream carries a type instead of a status.
_STATUSES = {word: status for status, word in _TYPES.items()} | {
    "invalid_request_error": 400,
    "conflict_error": 409,
}


def from_status(
    status: int,
    *,
    type: str | None,
    code: str | None,
    message: str,
    headers: HeaderFacts,
    own: bool = True,
    page: bool = False,
) -> AttemptError | StopRun:
    """The error for an answer with an HTTP error *status*. *own*: it is the API's;
    *page*: it is a web page.
    """
    if not own and (error := _of_somebody_else(status, message, headers, page=page)) is not None:
        return error
    if _refuses_account(status, code, message):
        return AccountRefused(
            "E703",
            f"the API does not accept this account: {status} {message}",
            fix=_fix(status, code),
        )
    kind = type or _TYPES.get(status) or ("api_error" if status >= 500 else "invalid_request_error")
    if status == 429:
        return _of_a_limit(message, headers, kind=_limit_kind(code, message), type=code or kind)
    retryable = status in (408, 409) or status >= 500
    other_model = status == 404 or (status == 400 and message.startswith(_TOO_LONG_400))
    return (NotServed if other_model else AttemptError)(
        message,
        type=kind,
        status=status,
        request_id=headers.request_id,
        retryable=retryable if headers.should_retry is None else headers.should_retry,
        # A gateway that gave up waiting does not know whether the model went on.
        may_be_billed=status in (408, 504),
        retry_after=headers.retry_after,
        unavailable=status >= 500,
        # 529 and 503 say that the service is busy, 502 and 504 that something before it
        # is broken.
        may_be_rows=status == 500,
        # Such a request was let in and looked at, whatever headers a gateway took off.
        limits=(headers.limits or Limits()) if own and status < 500 else None,
    )


def _of_a_limit(message: str, headers: HeaderFacts, *, kind: LimitKind, type: str) -> AttemptError:
    facts: dict[str, Any] = {"type": type, "status": 429, "request_id": headers.request_id}
    if (nothing := _no_allowance(headers.limits)) is not None:
        # No wait helps; an organisation's limits of fast mode may be so.
        return NotServed(f"the account's limit of {nothing} is 0 here: {message}", **facts)
    return RateLimited(
        message,
        kind=kind,
        bare=not _shows_a_limit(headers.limits),
        retryable=True,
        retry_after=headers.retry_after,
        **facts,
    )


def _of_somebody_else(
    status: int, message: str, headers: HeaderFacts, *, page: bool
) -> AttemptError | None:
    """What an answer means that is not the API's; None: what its status says."""
    if status in _WRONG_WAY:
        return PathFault(
            f"not the API answers: {status} {message}",
            type="not_the_api",
            status=status,
            retry_after=headers.retry_after,
        )
    if status in _REFUSALS_OF_A_FIREWALL or (
        page and status < 500 and status not in _SAME_FROM_ANYBODY
    ):
        return Blocked(
            f"blocked before the API (firewall, proxy?): {status} {message}",
            status=status,
            retry_after=headers.retry_after,
        )
    return None


def _fix(status: int, code: str | None) -> str:
    if code is not None and code.startswith("cmek_"):
        return f"enable the workspace's encryption key at {_CONSOLE}, then run the same command"
    if code in _BATCH_CODES:
        return (
            f"use a workspace with human review on ({_CONSOLE}), or run the same command without "
            f"batches"
        )
    if code == "claude_code_key_creator_not_member":
        return f"use another key, from {_CONSOLE}/keys, then run the same command"
    return _FIXES.get(status, _FIXES[403])


def _refuses_account(status: int, code: str | None, message: str) -> bool:
    if code in _ACCOUNT_CODES | _BATCH_CODES and status < 500:
        return True
    if status == 400:
        return message.startswith(_ACCOUNT_400)
    return status in (401, 402, 403) or (status == 429 and code in _SPEND_CODES)


def _no_allowance(limits: Limits | None) -> str | None:
    if limits is None:
        return None
    named = (
        ("requests", limits.requests),
        ("input tokens", limits.input_tokens),
        ("output tokens", limits.output_tokens),
    )
    return next((name for name, reading in named if reading.limit == 0), None)


def _shows_a_limit(limits: Limits | None) -> bool:
    """Whether less than five seconds of any allowance is left."""
    if limits is None:
        return False
    return any(
        reading.limit and reading.remaining is not None and reading.remaining < reading.limit / 12
        for reading in (limits.requests, limits.input_tokens, limits.output_tokens)
    )


def _limit_kind(code: str | None, message: str) -> LimitKind:
    if code == "ramp_limit_exceeded":
        return "ramp"
    # The API has no code for it, only a sentence: "Number of concurrent connections has
    # exceeded your rate limit".
    return "concurrency" if "concurrent" in message.lower() else "rate"


def redirected(status: int, location: str | None, headers: HeaderFacts) -> PathFault:
    """A redirect, which is never followed: it could carry the key to any host."""
    return PathFault(
        f"the server redirects ({location or 'it does not say where'}), and redirects "
        f"are not followed with"
        " a key; set ANTHROPIC_BASE_URL to the address that answers itself",
        type="redirected",
        status=status,
        request_id=headers.request_id,
    )


def stream_failed(
    *, type: str | None, code: str | None, message: str, request_id: str | None
) -> AttemptError | StopRun:
    """An `error` event in a stream that had begun with a 200: the meaning of its usual
    status, but maybe billed.
    """
    status = _STATUSES.get(type or "", 500)
    # The head came with the 200: its `retry-after` and `x-should-retry` are not about
    # this error.
    head = HeaderFacts(request_id, None, None, None, simulated=False)
    error = from_status(status, type=type, code=code, message=message, headers=head)
    if isinstance(error, AttemptError):
        error.status = 200
        error.may_be_billed = True
    return error


def row_failed(
    type: str, message: str, *, code: str | None = None, request_id: str | None = None
) -> AttemptError | StopRun:
    """The error in a line of a batch's results: the meaning of its usual status, and
    never billed.
    """
    head = HeaderFacts(request_id, None, None, None, simulated=False)
    error = from_status(
        _STATUSES.get(type, 500), type=type, code=code, message=message, headers=head
    )
    if isinstance(error, AttemptError):
        error.status, error.may_be_billed, error.limits = None, False, None
    return error


def connection_failed(message: str, *, sent: bool, head: HeaderFacts | None = None) -> AttemptError:
    """A connection without a whole answer; *sent*: the request may have arrived;
    *head*: headers of the answer that broke off.
    """
    return AttemptError(
        message,
        type="connection_error",
        request_id=head.request_id if head else None,
        retryable=True,
        may_be_billed=sent,
        unavailable=True,
        # What never left did not show its contents to anybody.
        may_be_rows=sent,
    )


def unreachable(reason: str, fix: str) -> Unreachable:
    """No connection, and another try would end the same way."""
    return Unreachable("E702", f"no connection to the API: {reason}", fix=fix)


def timed_out(
    seconds: float, *, silent: bool = False, head: HeaderFacts | None = None
) -> AttemptError:
    """The attempt exceeded its deadline; *silent*: an answer paused for longer than the
    idle time-out.

    *head*: headers of the answer, where it had begun.
    """
    failure = "the answer fell silent for" if silent else "no whole answer within"
    return AttemptError(
        f"{failure} {seconds:g} s",
        type="timeout",
        request_id=head.request_id if head else None,
        retryable=True,
        may_be_billed=True,
        unavailable=True,
    )


def web_page(words: str, status: int, headers: HeaderFacts) -> PathFault:
    """A success with a web page: not the API answered, so nothing was generated."""
    return PathFault(
        f"a web page in the place of an answer: {words or 'without words'}",
        type="bad_answer",
        status=status,
        request_id=headers.request_id,
        # With an id of the API's a request may have got there all the same.
        may_be_billed=headers.request_id is not None,
    )


def other_api(words: str, status: int, headers: HeaderFacts) -> PathFault:
    """A success of somebody who speaks JSON, and not as the API does: the base URL
    leads to another service.
    """
    return PathFault(
        f"not a message of the API, but {words}",
        type="bad_answer",
        status=status,
        request_id=headers.request_id,
        # It may have asked a model all the same.
        may_be_billed=True,
    )


def bad_answer(message: str, status: int, headers: HeaderFacts) -> AttemptError:
    """A success with a body that is no message: a proxy's page, a cut body."""
    return AttemptError(
        message,
        type="bad_answer",
        status=status,
        request_id=headers.request_id,
        retryable=True,
        may_be_billed=True,
        unavailable=True,
        may_be_rows=True,
    )


def broken_message(message: str, status: int, headers: HeaderFacts) -> AttemptError:
    """A success with a whole message whose parts have other types than the API's: some
    gateway makes it so. It was generated, and asked for again it would come again, and
    be paid for again.
    """
    return AttemptError(
        message,
        type="bad_answer",
        status=status,
        request_id=headers.request_id,
        may_be_billed=True,
    )
