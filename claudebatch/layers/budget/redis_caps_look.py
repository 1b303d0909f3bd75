"""The caps at the shared server, looked at from outside, and the end of what a run that
died has set aside.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from claudebatch.core.domain import Pico
from claudebatch.core.reports.shared_money import CapLevel, SharedRun
from claudebatch.core.shared_cap import SharedCap
from claudebatch.layers.budget.redis_budget import caps_keys, window_of
from claudebatch.storage.shared_server.client_names import process_of
from claudebatch.storage.shared_server.redis_server import ScriptServer
from claudebatch.storage.shared_server.script import Script
from claudebatch.storage.shared_server.times import SILENT_S

_FOLDER = Path(__file__).with_name("lua")
_LOOK, _RELEASE = (
    Script.read(_FOLDER, "caps.lua", f"{name}.lua") for name in ("caps_look", "release")
)


class CapsSeen(NamedTuple):
    """The money at the shared server, of one day."""

    levels: list[CapLevel]
    runs: list[SharedRun]
    grants_in_s: float


class Released(NamedTuple):
    """What became of the money that a run had set aside."""

    holds: int
    amount: Pico
    given_back: Pico
    """Counted as spent before, and free now."""


class _HoldSeen(NamedTuple):
    name: str
    worst: Pico
    run: str


async def shared_caps(server: ScriptServer, caps: Sequence[SharedCap], day: str) -> CapsSeen:
    """The levels of *caps* and of all sums of *day*, and its runs. Raises as the server
    does.
    """
    keys = caps_keys(server.prefix)
    answer: list[Any] = await server.run(_LOOK, keys, "0", day)
    now, cursor, page, gone, held, holds, lost, heard, epoch = answer
    spent = dict(_amounts(page))
    while cursor != b"0":
        more: list[Any] = await server.run(_LOOK, keys, cursor, day)
        cursor, page = more[1:]
        spent |= dict(_amounts(page))
    until = float(_texts(epoch).get("until", now))
    return CapsSeen(
        list(_levels(caps, day, dict(_amounts(gone)), dict(_amounts(held)))),
        _runs(float(now), spent, list(_holds(holds)), list(_holds(lost)), _texts(heard)),
        max(0.0, until - float(now)),
    )


async def release(server: ScriptServer, run: str, *, free: bool) -> Released | None:
    """End what *run* has set aside: it counts as maybe billed, or not at all if it is
    known to be *free*. None: it is alive.
    """
    verdict, held, given_back = await server.run(
        _RELEASE, caps_keys(server.prefix), run, "free" if free else "", SILENT_S
    )
    if verdict == b"alive":
        return None
    return Released(len(held), sum(map(int, held)), sum(map(int, given_back)))


def _levels(
    caps: Sequence[SharedCap], day: str, gone: Mapping[str, Pico], held: Mapping[str, Pico]
) -> Iterator[CapLevel]:
    windows = {window_of(cap, day): cap for cap in caps}
    spans = (day, day[:7], "total")
    # The spans in their order, and what has a tag after them.
    for window in dict.fromkeys((*spans, *sorted({*windows, *gone, *held}))):
        span, _, tag = window.partition(" ")
        if span not in spans:
            continue
        cap = windows.get(window)
        yield CapLevel(
            cap.name if cap else _name(span, tag, day),
            cap.limit if cap else None,
            gone.get(window, 0),
            held.get(window, 0),
        )


def _name(span: str, tag: str, day: str) -> str:
    """A sum that nobody here caps, named as its cap would be."""
    word = {day: "day", day[:7]: "month"}.get(span, "")
    if not tag:
        return word or "in all"
    return f"tag {tag} per {word}" if word else f"tag {tag}"


def _runs(
    now: float,
    spent: Mapping[str, Pico],
    holds: Sequence[_HoldSeen],
    lost: Sequence[_HoldSeen],
    heard: Mapping[str, str],
) -> list[SharedRun]:
    held: defaultdict[str, list[_HoldSeen]] = defaultdict(list)
    gone: defaultdict[str, Pico] = defaultdict(int)
    today = {name.rpartition(" ")[0]: amount for name, amount in spent.items()}
    for hold in holds:
        held[hold.run].append(hold)
    for hold in lost:
        gone[hold.run] += hold.worst
    found = []
    for run in sorted({*today, *held, *gone, *heard}):
        ends_in = float(heard.get(run, now)) - now
        found.append(
            SharedRun(
                run,
                spent=today.get(run, 0),
                held=sum(hold.worst for hold in held[run]),
                holds=len(held[run]),
                lost=gone[run],
                state=_state(ends_in),
                heard_s=SILENT_S - ends_in if ends_in <= SILENT_S and run in heard else None,
                processes=tuple(sorted({process_of(hold.name) for hold in held[run]})),
            )
        )
    return found


def _state(ends_in: float) -> Literal["alive", "left", "silent"]:
    if ends_in <= 0:
        return "silent"
    # What ended in good order is heard of until much later.
    return "alive" if ends_in <= SILENT_S else "left"


def _holds(flat: Sequence[bytes]) -> Iterator[_HoldSeen]:
    for name, text in _texts(flat).items():
        # A tag at the end may hold spaces.
        worst, _, _, run = text.split(" ")[:4]
        yield _HoldSeen(name, int(worst), run)


def _amounts(flat: Sequence[bytes]) -> Iterator[tuple[str, Pico]]:
    return ((name, int(amount)) for name, amount in _texts(flat).items())


def _texts(flat: Sequence[bytes]) -> dict[str, str]:
    return {name.decode(): text.decode() for name, text in zip(flat[::2], flat[1::2], strict=True)}
