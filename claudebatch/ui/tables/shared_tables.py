"""The shared server as aligned text, and the same as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from claudebatch.core.plurals import counted
from claudebatch.core.reports.shared_left import SharedLeft
from claudebatch.core.reports.shared_money import CapLevel, SharedRun, UntoldSpend
from claudebatch.core.reports.shared_state import SharedPool, SharedState
from claudebatch.ui import format as fmt
from claudebatch.ui.sanitise import visible
from claudebatch.ui.tables.table import table

_KINDS = ("requests", "input tokens", "output tokens")


def render_shared(state: SharedState) -> Iterator[str]:
    """All of it."""
    account = f", account {visible(state.account)}" if state.account else ""
    yield f"shared server {state.server}{account}"
    yield ""
    yield from _pools(state.pools)
    yield ""
    if state.grants_in_s > 0:
        yield f"It has just begun: no money is granted for {fmt.seconds(state.grants_in_s)}."
    yield from _caps(state.caps)
    if state.untold:
        yield f"This machine's ledger has {_untold(state.untold)} that the server does not know"
        yield "of: `claudebatch shared restore` tells it."
    yield ""
    yield from _runs(state.runs)
    yield ""
    found = state.answers
    asked = counted(found.claims, "prompt is", "prompts are")
    yield f"{counted(found.answers, 'answer')}, {fmt.byte_size(found.size)}; {asked} being asked"


def _pools(pools: Sequence[SharedPool]) -> list[str]:
    if not pools:
        return ["No pool was used within a day."]
    header = ["pool", *(f"{kind}/min" for kind in _KINDS), "in flight", "waiting", "paused"]
    rows = [
        [
            pool.name,
            *(_limit(pool.limits.get(kind)) for kind in _KINDS),
            f"{fmt.count(sum(pool.in_flight.values()))} of {fmt.count(pool.most_in_flight)}",
            _line(pool.waiting),
            fmt.seconds(pool.paused_s) if pool.paused_s else "-",
        ]
        for pool in pools
    ]
    return table("<>>>><>", header, rows)


def _limit(level: tuple[float, float] | None) -> str:
    if level is None:
        return "-"
    left, per_minute = level
    # A debt: what was larger than the bucket has left.
    return f"{fmt.limit_amount(per_minute)} ({fmt.count(round(left))} now)"


def _line(waiting: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {fmt.seconds(turn)}" for name, turn in waiting.items()) or "-"


def _caps(caps: Sequence[CapLevel]) -> list[str]:
    rows = [
        [
            cap.name,
            "-" if cap.limit is None else fmt.money_exact(cap.limit),
            fmt.money(cap.spent),
            fmt.money(cap.held),
            "-" if cap.limit is None else fmt.money(max(0, cap.limit - cap.spent - cap.held)),
        ]
        for cap in caps
    ]
    return table("<>>>>", ["cap", "limit", "spent", "reserved", "left"], rows)


def _runs(runs: Sequence[SharedRun]) -> list[str]:
    if not runs:
        return ["No run has used these caps today."]
    rows = [
        [
            run.run,
            run.state,
            "-" if run.heard_s is None else f"{fmt.seconds(run.heard_s)} ago",
            fmt.money(run.spent),
            fmt.money(run.held),
            fmt.count(run.holds),
            fmt.money(run.lost),
            ", ".join(sorted({name.partition("/")[0] for name in run.processes})) or "-",
        ]
        for run in runs
    ]
    header = [
        "run",
        "state",
        "heard of",
        "today",
        "reserved",
        "requests",
        "maybe billed",
        "machine",
    ]
    return table("<<>>>>><", header, rows)


def _untold(untold: Sequence[UntoldSpend]) -> str:
    runs = len({each.run for each in untold})
    return f"{fmt.money(sum(each.amount for each in untold))} of {counted(runs, 'run')}"


def render_restored(told: Sequence[UntoldSpend]) -> str:
    """What the server was told."""
    if not told:
        return "the server knows all that this machine's ledger knows"
    return f"told the server of {_untold(told)}"


def render_left(left: SharedLeft, *, free: bool) -> list[str]:
    """What becomes of *left* when it is released."""
    found = []
    for run in left.runs:
        what = f"{run.run}: {fmt.money(run.held)} reserved for {counted(run.holds, 'request')}"
        if free:
            lost = f", and {fmt.money(run.lost)} that may be billed," if run.lost else ""
            found.append(f"{what}{lost} become free: none of it was billed")
        else:
            found.append(f"{what} counts as spent (maybe billed) until its journal says better")
    if left.in_flight:
        flying = counted(left.in_flight, "request in flight makes", "requests in flight make")
        found.append(f"{flying} room for others")
    if not left.runs:
        found.append(f"whether {visible(left.name)} is dead is not known here: it shares no cap")
    return found


def shared_json(state: SharedState) -> dict[str, Any]:
    """The fields of *state*; dollars as exact decimal strings."""
    return {
        "server": state.server,
        "account": state.account or None,
        "grants_in_s": round(state.grants_in_s, 3),
        "pools": [_pool_json(pool) for pool in state.pools],
        "caps": [
            {
                "name": cap.name,
                "limit_usd": None if cap.limit is None else fmt.usd_string(cap.limit),
                "spent_usd": fmt.usd_string(cap.spent),
                "held_usd": fmt.usd_string(cap.held),
            }
            for cap in state.caps
        ],
        "runs": [
            {
                "run": run.run,
                "state": run.state,
                "heard_s": None if run.heard_s is None else round(run.heard_s, 3),
                "spent_today_usd": fmt.usd_string(run.spent),
                "held_usd": fmt.usd_string(run.held),
                "requests": run.holds,
                "maybe_billed_usd": fmt.usd_string(run.lost),
                "processes": list(run.processes),
            }
            for run in state.runs
        ],
        "answers": {
            "count": state.answers.answers,
            "bytes": state.answers.size,
            "claims": state.answers.claims,
        },
        "untold": untold_json(state.untold),
    }


def untold_json(untold: Sequence[UntoldSpend]) -> list[dict[str, str]]:
    """The fields of *untold*."""
    return [
        {"run": each.run, "day": each.day, "usd": fmt.usd_string(each.amount)} for each in untold
    ]


def _pool_json(pool: SharedPool) -> dict[str, Any]:
    return {
        "pool": pool.name,
        "limits": {
            kind.replace(" ", "_"): {"now": round(left, 3), "per_minute": per_minute}
            for kind, (left, per_minute) in pool.limits.items()
        },
        "paused_s": round(pool.paused_s, 3),
        "most_in_flight": pool.most_in_flight,
        "in_flight": dict(pool.in_flight),
        "waiting": {name: round(turn, 3) for name, turn in pool.waiting.items()},
    }
