"""What every way to fail means: one table, from the SDK's errors to ours.

Branches on status and on `error_code`, not on the message, whose wording can change; the two exceptions are 400s
that mean the whole account and have no code of their own.
"""

from __future__ import annotations

from claudebatch.clients.headers import HeaderFacts
from claudebatch.errors import AccountRefused, AttemptError, NotServed, RateLimited, StopRun

_CONSOLE = "https://platform.claude.com/settings"
_SPEND_CODES = {"enforced_spend_limit_reached", "contract_spend_limit_reached"}
_ACCOUNT_400 = (
    "You have reached your specified API usage limits",
    "You have reached your specified workspace API usage limits",
    "Your credit balance is too low",
)
_FIXES = {
    400: f"raise the limit or add credit at {_CONSOLE}/billing, then run the same command",
    401: f"check the key (ANTHROPIC_API_KEY) at {_CONSOLE}/keys, then run the same command",
    402: f"mend the billing at {_CONSOLE}/billing, then run the same command",
    403: f"check what the key may use at {_CONSOLE}/keys, then run the same command",
    429: f"wait for the new month or raise the spend limit at {_CONSOLE}/limits, then run the same command",
}
_TYPES = {401: "authentication_error", 402: "billing_error", 403: "permission_error", 404: "not_found_error",
          413: "request_too_large", 429: "rate_limit_error", 504: "timeout_error", 529: "overloaded_error"}  # fmt: skip


def from_status(
    status: int, *, type: str | None, code: str | None, message: str, headers: HeaderFacts
) -> AttemptError | StopRun:
    """The error that an answer with an HTTP error *status* stands for."""
    if _refuses_account(status, code, message):
        return AccountRefused(f"the API refuses this account: {status} {message}", fix=_FIXES[status])
    kind = type or _TYPES.get(status) or ("api_error" if status >= 500 else "invalid_request_error")
    if status == 429:
        return RateLimited(
            message,
            type=code or kind,
            status=status,
            request_id=headers.request_id,
            retryable=True,
            retry_after=headers.retry_after,
        )
    retryable = status in (408, 409) or status >= 500
    return (NotServed if status == 404 else AttemptError)(
        message,
        type=kind,
        status=status,
        request_id=headers.request_id,
        retryable=retryable if headers.should_retry is None else headers.should_retry,
        # A gateway that gave up waiting says nothing about the work behind it.
        may_be_billed=status in (408, 504),
        retry_after=headers.retry_after,
        unavailable=status >= 500,
    )


def _refuses_account(status: int, code: str | None, message: str) -> bool:
    if status == 400:
        return code == "organization_on_hold" or message.startswith(_ACCOUNT_400)
    return status in (401, 402, 403) or (status == 429 and code in _SPEND_CODES)


def connection_failed(message: str, *, sent: bool) -> AttemptError:
    """No answer at all; *sent*: the request may have arrived."""
    return AttemptError(message, type="connection_error", retryable=True, may_be_billed=sent, unavailable=True)


def timed_out(seconds: float) -> AttemptError:
    """The attempt lived longer than it may."""
    return AttemptError(
        f"no whole answer within {seconds:.0f} s",
        type="timeout",
        retryable=True,
        may_be_billed=True,
        unavailable=True,
    )


def bad_answer(message: str, headers: HeaderFacts) -> AttemptError:
    """A 200 whose body is no message: a proxy's page, a cut body."""
    return AttemptError(
        message,
        type="bad_answer",
        status=200,
        request_id=headers.request_id,
        retryable=True,
        may_be_billed=True,
        unavailable=True,
    )
