"""R16: where the account is refused, nothing leaves any more; what is one row's fault
fails one row.
"""

from __future__ import annotations

from typing import Any

import pytest

from claudebatch.core.domain import Call
from claudebatch.core.errors import ExitCode
from claudebatch.core.events import Retrying
from tests.resilience.driver import Happening, run, status_error
from tests.support.virtual import virtual

FATAL: dict[str, dict[str, Any]] = {
    "401": {"status": 401},
    "402": {"status": 402},
    "402 of a linked organization": {"status": 402, "code": "linked_organization_billing"},
    "403": {"status": 403},
    "400 on hold": {"status": 400, "code": "organization_on_hold"},
    **{
        f"400 {code}": {"status": 400, "code": code}
        for code in (
            "cmek_key_disabled",
            "cmek_key_network_blocked",
            "claude_code_key_creator_not_member",
        )
    },
    "400 credit": {"status": 400, "message": "Your credit balance is too low to access the API"},
    "400 own limit": {
        "status": 400,
        "message": "You have reached your specified API usage limits.",
    },
    "400 workspace limit": {
        "status": 400,
        "message": "You have reached your specified workspace API usage limits.",
    },
    "429 enforced spend": {
        "status": 429,
        "code": "enforced_spend_limit_reached",
        "should_retry": True,
    },
    "429 contract spend": {
        "status": 429,
        "code": "contract_spend_limit_reached",
        "retry_after": 5.0,
    },
}
OF_A_ROW = {"400": 400, "404": 404, "413": 413, "422": 422}
WORKERS = 16


@pytest.mark.parametrize("name", FATAL)
@virtual
async def test_a_refused_account_stops_the_run_within_the_requests_on_their_way(name):
    facts = dict(FATAL[name])
    status = facts.pop("status")

    def fate(call: Call, before: int, at: float) -> Happening:
        return (
            (0.5 + 0.01 * (before % 7), status_error(status, **facts))
            if before >= 40
            else (0.5, None)
        )

    ran = await run(1000, fate, workers=WORKERS, limits={"tier": "none"})
    assert ran.ended.stop is not None and ran.ended.stop.exit_code == ExitCode.AUTH
    refused_from = ran.api.times[40]
    first_refusal = min(at for came, at in ran.api.went if came >= refused_from)
    assert [at for at in ran.api.times if at > first_refusal] == [], (
        "nothing leaves after the first refusal"
    )
    assert len(ran.api.came) <= 40 + WORKERS
    assert ran.bench.told(Retrying) == []
    assert ran.failed == [], "their rows stay to be done"
    assert (
        ran.ended.stop.fix is not None
        and "https://platform.claude.com/settings" in ran.ended.stop.fix
    )


@pytest.mark.parametrize("name", OF_A_ROW)
@virtual
async def test_what_is_about_one_row_fails_that_row_only(name):
    def fate(call: Call, before: int, at: float) -> Happening:
        return 0.1, status_error(OF_A_ROW[name]) if call.row % 2 else None

    ran = await run(200, fate, workers=WORKERS)
    assert ran.ended.stop is None
    assert (len(ran.succeeded), len(ran.failed)) == (100, 100)
    assert len(ran.api.came) == 200 and ran.states() == [], "no retry, and no breaker that opens"
