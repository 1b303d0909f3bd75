"""Signals at moments that the program reaches, never at times: at the first call of a
function, at the thousandth call, while the interpreter clears up.
"""

from __future__ import annotations

import atexit
import builtins
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any


@dataclass(frozen=True)
class Moment:
    """When signals come, in a process of claudebatch."""

    signals: tuple[int, ...] = ()
    """At most two: the first at the moment, the second at the next call of anything."""
    where: str = ""
    """`engine.py:run`: the first call of a function of that file; `atexit`, or `last`
    when the modules are taken down. Empty: the first call of all.
    """
    calls: int = 0
    """So many calls later."""
    reached: str = ""
    """A file that is made once the moment has come."""
    listed: str = ""
    """A file for the names of all functions that the main thread calls, in order."""

    def message(self) -> dict[str, Any]:
        """What the zygote is told."""
        return asdict(self)


def prepare(message: dict[str, Any] | None) -> None:
    """Let this process be signalled at a moment; called before its `main`."""
    if message is None:
        return
    moment = Moment(**{**message, "signals": tuple(message["signals"])})
    if moment.where == "atexit":
        atexit.register(_send, moment.signals)
    elif moment.where == "last":
        # The builtins are the last module to be emptied.
        builtins.claudebatch_test = _Last(moment.signals)  # type: ignore[attr-defined]
    elif moment.listed:
        seen: dict[str, None] = {}
        atexit.register(lambda: Path(moment.listed).write_text("\n".join(seen)))
        _at_each_call(lambda frame: seen.setdefault(_name(frame)))
    else:
        _at_each_call(_Trap(moment))


class _Last:
    def __init__(self, signals: tuple[int, ...]) -> None:
        self._signals = signals

    # By the time it is called the modules are empty.
    def __del__(self, send: Callable[[int], None] = signal.raise_signal) -> None:
        for number in self._signals:
            send(number)


class _Trap:
    def __init__(self, moment: Moment) -> None:
        self._where = moment.where
        self._calls = moment.calls
        self._signals = moment.signals
        self._reached = moment.reached

    def __call__(self, frame: FrameType) -> None:
        if self._where and _name(frame) != self._where:
            return
        self._where = ""
        self._calls -= 1
        if self._calls >= 0:
            return
        if self._reached:
            Path(self._reached).touch()
        first, *second = self._signals
        sys.settrace(None)
        if second:
            # Python takes a trace away whose function raises, as the first signal may.
            sys.setprofile(lambda *_: self._again(second[0]))
        signal.raise_signal(first)

    def _again(self, number: int) -> None:
        sys.setprofile(None)
        signal.raise_signal(number)


def _at_each_call(do: Callable[[FrameType], object]) -> None:
    def trace(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            do(frame)

    sys.settrace(trace)


def _send(signals: tuple[int, ...]) -> None:
    for number in signals:
        os.kill(os.getpid(), number)


def _name(frame: FrameType) -> str:
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_code.co_name}"
