"""Alerts: when they are due, and whom they may be sent to, checked before a run begins:
an alert that fails is only noticed when it is needed.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from claudebatch.alerts.settings import AlertSettings, SinkSettings, SpikeSettings
from claudebatch.config.sections import AlertsSection, Config, MonitorSection
from claudebatch.config.values import ValueReader
from claudebatch.core.errors import ConfigError

# A sink that hangs for longer would hold up the end of the run.
_LONGEST_S = 60.0
_DAY_S = 86400.0


def resolve_alerts(config: Config, values: ValueReader) -> AlertSettings:
    """The alerts that *config* asks for. Raises `ConfigError`."""
    alerts, monitor = config.alerts, config.monitor
    spikes = _spikes(monitor, values)
    return AlertSettings(
        at_percent=alerts.at_percent,
        spikes=spikes,
        on_spike=monitor.on_spike,
        sinks=_sinks(alerts, values),
        pause_s=_span(values, "monitor.pause", monitor.pause, longest_s=_DAY_S, usual="5m"),
    )


def _spikes(monitor: MonitorSection, values: ValueReader) -> SpikeSettings:
    usual = MonitorSection().floor_usd_per_minute
    return SpikeSettings(
        factor=monitor.factor,
        deviations=monitor.deviations,
        floor=values.dollars("monitor.floor_usd_per_minute", monitor.floor_usd_per_minute, usual),
    )


def _sinks(alerts: AlertsSection, values: ValueReader) -> SinkSettings:
    if alerts.webhook is not None:
        _check_url(values.at("alerts.webhook"), alerts.webhook)
    if alerts.command is not None:
        _check_command(values.at("alerts.command"), alerts.command)
    return SinkSettings(
        webhook=alerts.webhook,
        command=None if alerts.command is None else tuple(alerts.command),
        timeout_s=_span(values, "alerts.timeout", alerts.timeout, longest_s=_LONGEST_S, usual="5s"),
    )


def _span(
    values: ValueReader, key: str, text: str | float, *, longest_s: float, usual: str
) -> float:
    span_s = values.seconds(key, text)
    if not 0 < span_s <= longest_s:
        raise ConfigError(
            "E100",
            f"{values.at(key)} must be above 0 and at most {longest_s:.0f} s",
            fix=f"try {key.rpartition('.')[2]}: {usual}",
        )
    return span_s


def _check_url(place: str, url: str) -> None:
    # The address may hold a secret, as those of chat services do: no message repeats
    # it.
    if not (url.isascii() and url.isprintable()) or " " in url:
        raise ConfigError(
            "E101",
            f"{place}: a URL cannot contain spaces or non-ASCII letters",
            fix="write them as %XX",
        )
    try:
        parts = urlsplit(url)
        valid = bool(parts.hostname) and parts.scheme in ("http", "https") and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ConfigError(
            "E102", f"{place} is not a web address", fix="write it as https://host/path"
        )
    if parts.username is not None or parts.password is not None:
        raise ConfigError(
            "E103",
            f"{place} contains a user name, which would not be sent",
            fix="remove everything before the @",
        )
    if parts.scheme == "http" and not _is_loopback(parts):
        raise ConfigError(
            "E104", f"{place} must use https (http only to this machine)", fix="write https://"
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
            "E105", f"{place} must start with a program", fix="write it as [program, argument, ...]"
        )
    if any("\0" in word for word in command):
        raise ConfigError(
            "E106", f"{place} contains a NUL character, which no program accepts", fix="remove it"
        )
