"""The text of an alert: its sentence for people, its fields for programs."""

from __future__ import annotations

from typing import Any

from claudebatch.core.domain import PICO_PER_USD
from claudebatch.core.events import CapAlert, SpendSpike
from claudebatch.ui import format as fmt

# The caps of everybody; those by tag are named by their scope.
_CAPS = {"run": "this run's cap", "day": "the day's cap", "month": "the month's cap"}


def alert_json(alert: CapAlert | SpendSpike) -> dict[str, Any]:
    """*alert* as plain data; docs/alerts.md lists its fields."""
    if isinstance(alert, CapAlert):
        return {
            "kind": "cap",
            "scope": alert.scope,
            "percent": alert.percent,
            "cap_usd": fmt.usd_string(alert.cap),
            "used_usd": fmt.usd_string(alert.used),
            "text": alert_text(alert),
        }
    return {
        "kind": "spike",
        "measure": alert.measure,
        "usd": _usd(alert.usd),
        "usual_usd": _usd(alert.usual_usd),
        "action": alert.action,
        "pause_s": alert.pause_s,
        "text": alert_text(alert),
    }


def alert_text(alert: CapAlert | SpendSpike) -> str:
    """*alert* as a sentence."""
    return _cap(alert) if isinstance(alert, CapAlert) else _spike(alert)


def _cap(alert: CapAlert) -> str:
    # A tag may be of any length; a line may not.
    cap = _CAPS.get(alert.scope, f"the cap of {fmt.clip(alert.scope, 100)}")
    used = f"{fmt.money(alert.used)} of {fmt.money_exact(alert.cap)}"
    if alert.percent < 100:
        return f"{alert.percent} % of {cap} is used: {used}"
    # At 100 % two things may have happened, and only one of them is a full cap.
    if alert.used >= alert.cap:
        return f"{cap} is used up: {used}"
    return f"what is left of {cap} may not be enough for the next request: {used} is used"


def _spike(alert: SpendSpike) -> str:
    now, usual = (fmt.money(round(usd * PICO_PER_USD)) for usd in (alert.usd, alert.usual_usd))
    text = f"spending {now} {alert.measure}; usual for this run: {usual}"
    if alert.action == "pause":
        pause = fmt.seconds(alert.pause_s)
        return f"{text}; nothing is sent for {pause} (to go on at once: Ctrl-C, then run it again)"
    return f"{text}; the run stops" if alert.action == "stop" else text


def _usd(dollars: float) -> str:
    return fmt.usd_string(round(dollars * PICO_PER_USD))
