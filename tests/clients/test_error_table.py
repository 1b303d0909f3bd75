"""What every way to fail means: one line of the table per line of the API's own
lists.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from claudebatch.clients import error_table
from claudebatch.clients.headers import HeaderFacts
from claudebatch.core.errors import (
    AccountRefused,
    AttemptError,
    ExitCode,
    NotServed,
    RateLimited,
    StopRun,
)
from claudebatch.core.limit_headers import LimitReading, Limits

NOTHING = HeaderFacts(None, None, None, None, simulated=False)


@dataclass(frozen=True)
class Case:
    status: int
    type: str | None = None
    code: str | None = None
    message: str = "no."


def facts(**known: Any) -> HeaderFacts:
    return HeaderFacts(
        known.get("request_id"),
        known.get("retry_after"),
        known.get("should_retry"),
        known.get("limits"),
        simulated=False,
    )


def error_of(case: Case, headers: HeaderFacts = NOTHING) -> AttemptError | StopRun:
    return error_table.from_status(
        case.status, type=case.type, code=case.code, message=case.message, headers=headers
    )


ACCOUNT = [
    Case(
        400,
        "invalid_request_error",
        message="You have reached your specified API usage limits. You will regain…",
    ),
    Case(
        400,
        "invalid_request_error",
        message="You have reached your specified workspace API usage limits. You…",
    ),
    Case(
        400,
        "invalid_request_error",
        message="Your credit balance is too low to access the Anthropic API. Please…",
    ),
    Case(400, "invalid_request_error", code="organization_on_hold"),
    Case(400, "invalid_request_error", code="cmek_key_disabled"),
    Case(400, "invalid_request_error", code="cmek_key_network_blocked"),
    Case(400, "invalid_request_error", code="claude_code_key_creator_not_member"),
    Case(401, "authentication_error", message="invalid x-api-key"),
    Case(401),
    Case(402, "billing_error"),
    Case(402, "billing_error", code="linked_organization_suspended"),
    Case(403, "permission_error"),
    Case(429, "rate_limit_error", code="enforced_spend_limit_reached"),
    Case(429, "rate_limit_error", code="contract_spend_limit_reached"),
]


@pytest.mark.parametrize(
    "case", ACCOUNT, ids=lambda case: f"{case.status}-{case.code or case.message[:40]}"
)
def test_what_refuses_the_account_stops_the_run_and_names_the_page_that_mends_it(case):
    for should_retry in (None, True, False):
        error = error_of(case, facts(should_retry=should_retry, retry_after=3.0))
        assert isinstance(error, AccountRefused)
        assert error.exit_code is ExitCode.AUTH
        assert str(case.status) in error.message
        assert case.message in error.message
        assert "https://platform.claude.com/settings" in error.fix
        assert "run the same command" in error.fix


@pytest.mark.parametrize(
    ("case", "type_"),
    [
        (Case(429, "rate_limit_error"), "rate_limit_error"),
        (Case(429), "rate_limit_error"),
        (Case(429, "rate_limit_error", code="ramp_limit_exceeded"), "ramp_limit_exceeded"),
    ],
    ids=str,
)
def test_a_429_that_passes_is_waited_out_and_blames_neither_row_nor_model(case, type_):
    error = error_of(case, facts(retry_after=16.0, request_id="req_1", should_retry=False))
    assert isinstance(error, RateLimited)
    assert (error.type, error.status, error.retry_after, error.request_id) == (
        type_,
        429,
        16.0,
        "req_1",
    )
    assert (error.retryable, error.may_be_billed, error.unavailable) == (True, False, False)


ROW, AGAIN, GONE = "row", "again", "not served"


@pytest.mark.parametrize(
    ("case", "meaning", "type_", "may_be_billed"),
    [
        (Case(400, "invalid_request_error"), ROW, "invalid_request_error", False),
        (
            Case(400, "invalid_request_error", code="image_dimensions_too_large"),
            ROW,
            "invalid_request_error",
            False,
        ),
        (
            Case(400, "invalid_request_error", code="tool_name_conflict"),
            ROW,
            "invalid_request_error",
            False,
        ),
        (Case(400, message="…credit balance is too low…"), ROW, "invalid_request_error", False),
        (Case(404, "not_found_error", message="model: claude-9"), GONE, "not_found_error", False),
        (Case(404), GONE, "not_found_error", False),
        (Case(408), AGAIN, "invalid_request_error", True),
        (Case(409, "conflict_error"), AGAIN, "conflict_error", False),
        (Case(412), ROW, "invalid_request_error", False),
        (Case(413, None, message="<html>"), ROW, "request_too_large", False),
        (
            Case(413, "request_too_large", code="request_body_too_large_after_decoding"),
            ROW,
            "request_too_large",
            False,
        ),
        (Case(418), ROW, "invalid_request_error", False),
        (Case(422, "invalid_request_error"), ROW, "invalid_request_error", False),
        (Case(431), ROW, "invalid_request_error", False),
        (Case(500, "api_error"), AGAIN, "api_error", False),
        (Case(500), AGAIN, "api_error", False),
        (Case(501), AGAIN, "api_error", False),
        (Case(502, None, message="<html>"), AGAIN, "api_error", False),
        (Case(503, "api_error", code="cmek_key_unreachable"), AGAIN, "api_error", False),
        (Case(504, "timeout_error"), AGAIN, "timeout_error", True),
        (Case(504), AGAIN, "timeout_error", True),
        (Case(529, "overloaded_error"), AGAIN, "overloaded_error", False),
        (
            Case(529, "overloaded_error", code="compaction_unavailable"),
            AGAIN,
            "overloaded_error",
            False,
        ),
        (Case(529), AGAIN, "overloaded_error", False),
    ],
    ids=str,
)
def test_every_other_status_fails_the_row_or_is_tried_again(case, meaning, type_, may_be_billed):
    error = error_of(case, facts(request_id="req_2", retry_after=7.0))
    assert type(error) is (NotServed if meaning == GONE else AttemptError)
    assert error.retryable is (meaning == AGAIN)
    assert error.unavailable is (case.status >= 500)
    assert error.may_be_billed is may_be_billed
    assert (error.type, error.status, error.message) == (type_, case.status, case.message)
    assert (error.request_id, error.retry_after) == ("req_2", 7.0)


@pytest.mark.parametrize("status", [400, 404, 408, 409, 413, 500, 503, 504, 529])
@pytest.mark.parametrize("told", [True, False])
def test_x_should_retry_has_the_last_word(status, told):
    error = error_of(Case(status), facts(should_retry=told))
    assert error.retryable is told


def test_a_timeout_may_be_billed_and_a_request_that_never_left_is_not():
    late = error_table.timed_out(600.0)
    assert (late.type, late.retryable, late.may_be_billed, late.unavailable) == (
        "timeout",
        True,
        True,
        True,
    )
    assert "600 s" in late.message
    for sent in (True, False):
        lost = error_table.connection_failed("reset", sent=sent)
        assert (lost.type, lost.retryable, lost.unavailable) == ("connection_error", True, True)
        assert lost.may_be_billed is sent


def test_a_200_that_is_no_message_may_be_billed():
    error = error_table.bad_answer("a web page", 200, facts(request_id="req_3"))
    assert (error.type, error.status, error.request_id) == ("bad_answer", 200, "req_3")
    assert (error.retryable, error.may_be_billed, error.unavailable) == (True, True, True)


def test_a_429_of_a_limit_of_0_is_never_waited_for_and_another_model_may_help():
    limits = Limits(input_tokens=LimitReading(0), output_tokens=LimitReading(8000))
    error = error_of(Case(429, "rate_limit_error"), facts(limits=limits, retry_after=5.0))
    assert isinstance(error, NotServed) and not error.retryable
    assert (error.type, error.status) == ("rate_limit_error", 429)
    assert error.message.startswith("the account's limit of input tokens is 0 here: ")
