"""What one free question to the API is taken to mean."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from claudebatch.cli.doctor.api_findings import api_findings
from claudebatch.clients.probe import ProbeResult, reach
from claudebatch.core.errors import ConfigError, CredentialError, ExitCode
from claudebatch.core.limit_headers import LimitReading, Limits
from claudebatch.simulator import Simulator, SimulatorSettings

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
FINE = ProbeResult("https://api.anthropic.com", 200, None, 0.1, NOW, None, False)


def states(reached: ProbeResult) -> dict[str, str]:
    return {found.name: found.state for found in api_findings(reached, wall=NOW)}


def test_a_good_answer_is_told_with_its_host_and_time() -> None:
    first, *_ = api_findings(FINE, wall=NOW)
    assert first.state == "ok"
    assert "api.anthropic.com" in first.text
    assert "100 ms" in first.text


@pytest.mark.parametrize(
    ("status", "state", "code"),
    [
        (None, "failure", ExitCode.UNAVAILABLE),
        (401, "failure", ExitCode.AUTH),
        (403, "failure", ExitCode.AUTH),
        (404, "warning", ExitCode.OK),
        (400, "warning", ExitCode.OK),
        (301, "warning", ExitCode.OK),
        (429, "warning", ExitCode.OK),
        (500, "warning", ExitCode.OK),
        (529, "warning", ExitCode.OK),
    ],
)
def test_every_other_answer_has_its_meaning_and_a_fix(
    status: int | None, state: str, code: ExitCode
) -> None:
    first, *_ = api_findings(replace(FINE, status=status, error="why"), wall=NOW)
    assert (first.state, first.exit_code) == (state, code)
    assert first.fix


@pytest.mark.parametrize(
    ("skew", "state"),
    [(0, "ok"), (119, "ok"), (-119, "ok"), (121, "warning"), (-86_400, "warning")],
)
def test_a_clock_that_is_off_by_more_than_two_minutes_is_a_warning(skew: int, state: str) -> None:
    assert states(replace(FINE, server_time=NOW - timedelta(seconds=skew)))["clock"] == state


def test_limits_that_were_told_are_shown() -> None:
    limits = Limits(LimitReading(1000, 999), LimitReading(2_000_000), LimitReading())
    told = [
        found.text
        for found in api_findings(replace(FINE, limits=limits), wall=NOW)
        if found.name == "limits"
    ]
    assert told == ["per minute: 1,000 requests (999 left), 2,000,000 input tokens"]


async def ask(url: str, api_key: str | None = "k") -> ProbeResult:
    return await reach(
        api_key=api_key,
        base_url=url,
        model="claude-haiku-5-5",
        now=time.monotonic,
        wall=lambda: datetime.now(UTC),
    )


async def test_the_question_is_asked_for_real_and_costs_nothing() -> None:
    simulator = Simulator(
        SimulatorSettings(),
        bill=lambda _model, _usage: 1,
        now=time.monotonic,
        wall=lambda: datetime.now(UTC),
        rng=random.Random(1),
    )
    url = await simulator.start()
    try:
        found = await ask(url)
        stats = simulator.stats()
    finally:
        await simulator.stop()
    assert (found.status, found.error, found.simulated) == (200, None, True)
    assert found.server_time is not None
    assert (stats["requests"], stats["other_requests"], stats["billed_pico"]) == (0, 1, 0)


async def test_nobody_there_is_no_exception() -> None:
    found = await ask("http://127.0.0.1:9")
    assert found.status is None
    assert found.error


async def test_the_key_is_not_sent_in_the_clear() -> None:
    with pytest.raises(ConfigError, match="is not encrypted"):
        await ask("http://example.test")


async def test_credentials_that_the_sdk_refuses_are_told_with_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ANTHROPIC_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("ANTHROPIC_PROFILE", "nowhere")
    with pytest.raises(CredentialError, match="profile 'nowhere'") as caught:
        await ask("http://127.0.0.1:9", api_key=None)
    assert (caught.value.id, caught.value.exit_code) == ("E215", ExitCode.AUTH)
    assert caught.value.fix == "correct that, or set ANTHROPIC_API_KEY"
