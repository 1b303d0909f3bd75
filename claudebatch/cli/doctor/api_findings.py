"""Findings about key, network, clock and limits, from one free question to the API."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from urllib.parse import urlsplit

from claudebatch.clients.probe import ProbeResult
from claudebatch.core.errors import ExitCode
from claudebatch.core.limit_headers import LimitReading
from claudebatch.core.reports.finding import Finding

# Less is usual on machines without NTP, and harms nothing.
_SKEW_S = 120.0


def api_findings(reached: ProbeResult, *, wall: datetime) -> Iterator[Finding]:
    """The findings for a run from *reached*."""
    host = urlsplit(reached.url).hostname or ""
    yield _answer(reached, host)
    # Without an answer there is neither a clock nor a limit to judge.
    if reached.status is None:
        return
    if reached.simulated:
        yield Finding(
            "api", "note", "it is a simulator: its answers are simulated and cost nothing"
        )
    if reached.server_time is not None:
        yield _clock(reached.server_time, wall)
    yield _limits(reached)


def _answer(reached: ProbeResult, host: str) -> Finding:
    took = f"{reached.seconds * 1000:,.0f} ms"
    match reached.status:
        case None:
            return Finding(
                "api",
                "failure",
                f"{host} does not answer: {reached.error}",
                fix="check the network, the proxy variables and ANTHROPIC_BASE_URL",
                exit_code=ExitCode.UNAVAILABLE,
            )
        case 200:
            return Finding("api", "ok", f"{host} took the key and answered in {took}")
        case 401 | 403:
            return Finding(
                "api",
                "failure",
                f"{host} refuses the key ({reached.status} {reached.error})",
                fix="make a new key at platform.claude.com and set ANTHROPIC_API_KEY",
                exit_code=ExitCode.AUTH,
            )
        # Gateways often lack the counting of tokens and can still run prompts.
        case 404:
            return Finding(
                "api",
                "warning",
                f"{host} answers but counts no tokens (404): a gateway, or a model it does not "
                f"know",
                fix="check ANTHROPIC_BASE_URL and the model",
            )
        case status if status >= 500 or status == 429:
            return Finding(
                "api",
                "warning",
                f"{host} is busy or failing ({status} {reached.error})",
                fix="try later",
            )
        case status:
            return Finding(
                "api",
                "warning",
                f"{host} answers {status} {reached.error}",
                fix="check ANTHROPIC_BASE_URL",
            )


def _clock(server: datetime, wall: datetime) -> Finding:
    skew_s = (wall - server).total_seconds()
    if abs(skew_s) <= _SKEW_S:
        return Finding("clock", "ok", f"within {max(1.0, abs(skew_s)):,.0f} s of the API's")
    side = "ahead of" if skew_s > 0 else "behind"
    return Finding(
        "clock",
        "warning",
        f"{abs(skew_s):,.0f} s {side} the API's: caps by day and dates of `retry-after` are off "
        f"by so much",
        fix="set the clock (NTP)",
    )


def _limits(reached: ProbeResult) -> Finding:
    limits = reached.limits
    if limits is None:
        return Finding(
            "limits", "note", "not told with this answer; a run learns them from its first one"
        )
    kinds = (
        ("requests", limits.requests),
        ("input tokens", limits.input_tokens),
        ("output tokens", limits.output_tokens),
    )
    shown = [_shown(kind, reading) for kind, reading in kinds if reading.limit is not None]
    return Finding("limits", "ok", "per minute: " + ", ".join(shown) if shown else "none told")


def _shown(kind: str, reading: LimitReading) -> str:
    left = "" if reading.remaining is None else f" ({reading.remaining:,} left)"
    return f"{reading.limit:,} {kind}{left}"
