"""The API's refusals: status, error type, headers and body."""

from __future__ import annotations

from typing import Any

from claudebatch.simulator import wire

# All other statuses are `api_error`, as the documentation says.
TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
NEVER_RETRY = frozenset({400, 401, 404})
"""Recorded answers of these statuses carry `x-should-retry: false`; of all others, only
429 has the header.
"""

MESSAGES = {
    400: "A simulated invalid request.",
    401: "invalid API key",
    402: "Your account has a problem with its billing. (simulated)",
    403: "Your API key does not have permission to use the specified resource. (simulated)",
    404: "The requested resource could not be found. (simulated)",
    413: "Request exceeds the maximum size",
    429: "This request would exceed your organization's rate limit. Please try again later. "
    "(simulated)",
    500: "Internal server error",
    503: "Service unavailable",
    504: "Request timed out",
    529: "Overloaded",
}


class RefusedRequest(Exception):
    """A request that gets an error instead of an answer; nothing is billed."""

    def __init__(
        self,
        status: int,
        message: str | None = None,
        *,
        error_code: str | None = None,
        retry_after_s: int | None = None,
        should_retry: bool | None = None,
        limited: bool = False,
    ) -> None:
        self.status = status
        self.message = message or MESSAGES.get(status, "A simulated error.")
        self.error_code = error_code
        self.retry_after_s = retry_after_s
        self.should_retry = False if status in NEVER_RETRY else should_retry
        self.limited = limited
        """Whether a rate limit of the simulator refused it, not a fault."""
        super().__init__(self.message)

    def headers(self) -> bytes:
        """The header lines of this refusal alone."""
        lines = b""
        if self.should_retry is not None:
            lines += (
                b"x-should-retry: true\r\n" if self.should_retry else b"x-should-retry: false\r\n"
            )
        if self.retry_after_s is not None:
            lines += b"retry-after: %d\r\n" % self.retry_after_s
        return lines

    def body(self, request_id: str) -> bytes:
        """The error in the API's format."""
        error: dict[str, Any] = {
            "type": TYPES.get(self.status, "api_error"),
            "message": self.message,
        }
        if self.error_code is not None:
            error["details"] = {"error_code": self.error_code}
        if self.status == 413:
            # The edge answers it before the API sees the request: no `type`, no
            # `request_id`.
            return wire.encode({"error": error})
        return wire.encode({"type": "error", "error": error, "request_id": request_id})


def bad(message: str) -> RefusedRequest:
    """A 400 about the request itself."""
    return RefusedRequest(400, message)
