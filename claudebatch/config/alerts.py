"""Whom alerts may be sent to, checked before a run begins: an alert that fails is only
noticed when it is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from claudebatch.config.sections import AlertsSection, MonitorSection
from claudebatch.config.units import seconds
from claudebatch.core.errors import ConfigError

_LONGEST_S = 60.0


def check_alerts(alerts: AlertsSection, monitor: MonitorSection, at: Callable[[str], str]) -> None:
    """Raise `ConfigError` for what cannot work; *at* names the place of a dotted key."""
    if alerts.webhook is not None:
        _check_url(at("alerts.webhook"), alerts.webhook)
    if alerts.command is not None:
        _check_command(at("alerts.command"), alerts.command)
    _check_span(
        at("alerts.timeout"), seconds(at("alerts.timeout"), alerts.timeout), _LONGEST_S, "5s"
    )
    _check_span(at("monitor.pause"), seconds(at("monitor.pause"), monitor.pause), 86400.0, "5m")


def _check_span(place: str, found_s: float, longest_s: float, usual: str) -> None:
    if not 0 < found_s <= longest_s:
        key = place.rpartition(".")[2]
        raise ConfigError(
            f"{place} must be above 0 and at most {longest_s:.0f} s", fix=f"try {key}: {usual}"
        )


def _check_url(place: str, url: str) -> None:
    # The address may hold a secret, as those of chat services do: no message repeats
    # it.
    if not (url.isascii() and url.isprintable()) or " " in url:
        raise ConfigError(
            f"{place}: a URL has no spaces and no letters beyond ASCII", fix="write them as %XX"
        )
    try:
        parts = urlsplit(url)
        valid = bool(parts.hostname) and parts.scheme in ("http", "https") and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ConfigError(f"{place} is not a web address", fix="write it as https://host/path")
    if parts.username is not None or parts.password is not None:
        raise ConfigError(
            f"{place} has a user name in it, which would not be sent",
            fix="leave out what is before @",
        )
    if parts.scheme == "http" and not _is_loopback(parts):
        raise ConfigError(
            f"{place} must be https, or http to this machine itself", fix="write https://"
        )


def _is_loopback(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _check_command(place: str, command: list[str]) -> None:
    if not command or not command[0].strip():
        raise ConfigError(
            f"{place} must begin with a program", fix="write it as [program, argument, ...]"
        )
    if any("\0" in word for word in command):
        raise ConfigError(f"{place} holds a NUL, which no program can be given", fix="remove it")
