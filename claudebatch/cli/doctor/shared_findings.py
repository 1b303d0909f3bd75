"""Findings about the shared server: can runs depend on it?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from claudebatch.core.domain import usd_text
from claudebatch.core.errors import ExitCode
from claudebatch.core.plurals import counted
from claudebatch.core.reports.finding import Finding
from claudebatch.core.reports.shared_money import UntoldSpend
from claudebatch.storage.shared_server.server_check import ServerFacts

_NEEDED = (7, 0)
# Each request takes a few round trips, one after the other.
_SLOW_S = 0.02
# Of the server's clock nothing depends on the hour; a day of a cap begins by each
# machine's own.
_SKEW_S = 5.0
_NEARLY_FULL = 0.9
_PAGE = "docs/many-hosts.md"


def shared_findings(facts: ServerFacts, shown: str, *, caps: bool) -> Iterator[Finding]:
    """The findings for a run that shares *shown*, a host and a port; *caps*: its money,
    too.
    """
    if facts.error is not None:
        yield _unreached(facts, facts.error, shown)
        return
    yield _reached(facts, shown)
    if facts.info is not None:
        yield from _described(facts.info, caps=caps)
    if facts.missing:
        yield Finding(
            "rights",
            "failure",
            f"this user of {shown} may not run {', '.join(facts.missing)}",
            fix=f"ACL SETUSER … {' '.join(f'+{name}' for name in facts.missing)} ({_PAGE})",
            exit_code=ExitCode.AUTH,
        )
    elif facts.info is None:
        yield Finding(
            "rights",
            "note",
            f"this user of {shown} may not run INFO: its version, persistence and eviction are "
            "not known here",
            fix="give it +info",
        )
    else:
        yield Finding("rights", "ok", "all that runs need")
    if abs(facts.skew_s) > _SKEW_S:
        side = "ahead of" if facts.skew_s > 0 else "behind"
        yield Finding(
            "shared clock",
            "warning",
            f"this machine is {abs(facts.skew_s):,.0f} s {side} {shown}: one of the two is wrong, "
            "and days of caps begin by each machine's own clock",
            fix="set the clocks (NTP)",
        )


def untold_finding(untold: Sequence[UntoldSpend]) -> Finding:
    """Whether the server knows all that this machine has spent."""
    if not untold:
        return Finding("caps", "ok", "the server knows all that this machine has spent")
    amount = sum(each.amount for each in untold)
    runs = counted(len({each.run for each in untold}), "run has", "runs have")
    return Finding(
        "caps",
        "warning",
        f"the server does not know of ${usd_text(amount)} that {runs} spent here: "
        "it has lost its memory, or they did not share",
        fix="claudebatch shared restore",
    )


def _unreached(facts: ServerFacts, error: str, shown: str) -> Finding:
    if facts.refused:
        return Finding(
            "shared",
            "failure",
            f"{shown} refuses this user: {error}",
            fix=f"check user and password in CLAUDEBATCH_SHARED; {_PAGE} has the rights",
            exit_code=ExitCode.AUTH,
        )
    return Finding(
        "shared",
        "failure",
        f"{shown} does not answer: {error}",
        fix="start it, or check the address in CLAUDEBATCH_SHARED and the network",
        exit_code=ExitCode.UNAVAILABLE,
    )


def _reached(facts: ServerFacts, shown: str) -> Finding:
    info = facts.info or {}
    took = f"answers in {facts.answer_s * 1000:,.1f} ms"
    name = "Valkey" if info.get("server_name") == "valkey" else "Redis"
    version = info.get("valkey_version") or info.get("redis_version") or ""
    text = f"{shown}: {name} {version} {took}" if version else f"{shown} {took}"
    if facts.unwritable is not None:
        return Finding(
            "shared",
            "failure",
            f"{text}, and stores nothing: {facts.unwritable}",
            fix="name the server that takes writes, or give it more memory (maxmemory)",
            exit_code=ExitCode.UNAVAILABLE,
        )
    # Valkey goes on to say which Redis it is as good as.
    speaks = tuple(int(part) for part in info.get("redis_version", "7.0").split(".")[:2])
    if speaks < _NEEDED:
        return Finding(
            "shared",
            "failure",
            f"{text}: older than 7.0",
            fix="use Redis 7 or later, or Valkey",
            exit_code=ExitCode.UNAVAILABLE,
        )
    if facts.answer_s > _SLOW_S:
        return Finding(
            "shared", "warning", text, fix="put it into the same network: each request asks it"
        )
    return Finding("shared", "ok", text)


def _described(info: Mapping[str, str], *, caps: bool) -> Iterator[Finding]:
    if info.get("aof_enabled") == "1":
        broken = info.get("aof_last_write_status", "ok") != "ok"
        yield Finding(
            "persistence",
            "warning" if broken else "ok",
            "appendonly yes" + (", and its last write failed" if broken else ""),
            fix="look at the server's disk" if broken else None,
        )
    elif caps:
        yield Finding(
            "persistence",
            "warning",
            "appendonly no: after a restart the caps are only what machines on which runs go on "
            "tell",
            fix="CONFIG SET appendonly yes, and the same in its configuration",
        )
    else:
        yield Finding("persistence", "ok", "appendonly no, which limits do not need")
    yield _memory(info)


def _memory(info: Mapping[str, str]) -> Finding:
    policy, most = info.get("maxmemory_policy", "noeviction"), int(info.get("maxmemory", "0"))
    used = int(info.get("used_memory", "0"))
    text = f"{used / 1e6:,.1f} MB used" + (f" of {most / 1e6:,.1f} MB" if most else "")
    if policy != "noeviction":
        return Finding(
            "eviction",
            "warning",
            f"{text}; maxmemory-policy {policy}: a cap that is evicted is a cap that is passed",
            fix="CONFIG SET maxmemory-policy noeviction, and the same in its configuration",
        )
    if most and used > _NEARLY_FULL * most:
        return Finding(
            "eviction",
            "warning",
            f"{text}: when it is full, nothing is sent",
            fix="CONFIG SET maxmemory to more",
        )
    return Finding("eviction", "ok", f"{text}; nothing is evicted")
