"""`--log`: what happens to every request, as one JSON object per line; docs/log.md is
the protocol.

Everything outside printable ASCII is escaped, as in `--json`: a log is for looking at.
Prompts and answers are only in it on demand; the key is in none of the events, so it
cannot be in a line.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from json import JSONEncoder
from typing import Any

from claudebatch.core.events import (
    AttemptFinished,
    BatchChanged,
    BreakerChanged,
    CapAlert,
    ConcurrencyChanged,
    DrainStarted,
    Event,
    FellBack,
    LimitsSeen,
    PlanMade,
    Retrying,
    RunStarted,
    SpendSpike,
    Waiting,
)
from claudebatch.core.jsonl import encode_in_order
from claudebatch.core.notice import LineLeftOut, Notice
from claudebatch.core.reports import RunSummary
from claudebatch.core.stats.pool_waits import MIN_REPORTED_S
from claudebatch.ui.format import usd_string
from claudebatch.ui.live.alert_text import alert_json
from claudebatch.ui.live.batch_text import BatchNews, batch_json
from claudebatch.ui.live.plan_text import plan_event_json
from claudebatch.ui.tables.run_summary import summary_json, usage_json

VERSION = 1
# Every line of a log begins with it: a file that does not is no log of ours, and is
# not written into.
HEAD = b'{"v":1,"time":"'
# For the few texts that the fast encoder refuses: half of a surrogate pair.
_slowly = JSONEncoder(separators=(",", ":")).encode
# A log is read in terminals: an id must not steer one.
_UNSAFE = re.compile(r"[^\x20-\x7e]")


class LogLines:
    """Turns events into lines, or into None when they are not worth one."""

    def __init__(
        self, *, now: Callable[[], float], wall: Callable[[], datetime], prompts: bool = False
    ) -> None:
        """*wall* is UTC. *prompts*: with the requests and the answers themselves."""
        self._wall = wall
        self._prompts = prompts
        # Mutable, changed by the event methods only.
        self._run = "null"
        self._waited = Waited(now)
        self._batch_news = BatchNews()
        self._words: dict[type[Any], Callable[[Any], bytes | None]] = {
            RunStarted: self._run_started,
            AttemptFinished: self._attempt,
            Waiting: self._waiting,
            Retrying: self._retrying,
            FellBack: lambda event: self._line("fallback", asdict(event)),
            BreakerChanged: lambda event: self._line("breaker", asdict(event)),
            LimitsSeen: lambda event: self._line("limits", asdict(event)),
            ConcurrencyChanged: lambda event: self._line("concurrency", asdict(event)),
            SpendSpike: lambda event: self._line("alert", alert_json(event)),
            CapAlert: lambda event: self._line("alert", alert_json(event)),
            LineLeftOut: lambda event: self._line("line_left_out", asdict(event)),
            Notice: lambda event: self._line("notice", asdict(event)),
            BatchChanged: self._batch,
            PlanMade: lambda event: self._line("plan", plan_event_json(event)),
            DrainStarted: lambda event: self._line("drain", {"reason": event.reason}),
        }

    def __call__(self, event: Event) -> bytes | None:
        """The line that *event* deserves, if any."""
        words = self._words.get(type(event))
        return None if words is None else words(event)

    def end(self, summary: RunSummary) -> bytes:
        """The last line of a session that came to its end."""
        return self._line("end", summary_json(summary))

    def lost(self, lines: int) -> bytes:
        """The line in place of missing ones."""
        return self._line("lost", {"lines": lines})

    def _line(self, event: str, fields: dict[str, Any], more: str = "") -> bytes:
        # Cut rather than formatted: this runs for every request.
        moment = self._wall().isoformat(timespec="milliseconds")[:23]
        head = f'{{"v":{VERSION},"time":"{moment}Z","run":{self._run},"event":"{event}",'
        return (head + _encoded(fields)[1:-1] + more + "}\n").encode("ascii")

    def _run_started(self, event: RunStarted) -> bytes:
        self._run = _encoded(event.run_id)
        fields = {
            "rows": event.rows,
            "finished_before": event.finished_before,
            "output": event.output,
        }
        return self._line("start", {**fields, "simulated": event.simulated})

    def _attempt(self, event: AttemptFinished) -> bytes:
        call, reply = event.call, event.reply
        # An answer without a known price has no cost; 0 would be read as free.
        known = reply is None or reply.cost_known or event.unknown
        answered = reply or (call and call.prewarms and event.error is None)
        fields = {
            "id": call.prompt.id if call else event.id,
            "attempt": event.attempt,
            "model": event.model,
            "pool": event.pool,
            "rule": call.route.rule if call else "",
            "waited_ms": self._waited.pop(call.prompt.id, event.latency_ms) if call else {},
            "latency_ms": event.latency_ms,
            "status": 200 if answered else event.status,
            "error": event.error,
            "request_id": event.request_id,
            "retry_after": event.retry_after,
            "stop_reason": reply.stop_reason if reply else None,
            "usage": usage_json(event.usage) if event.usage else None,
            "cost_usd": usd_string(event.cost) if known else None,
            "unknown": event.unknown,
            "via": event.via,
            "simulated": bool(reply and reply.simulated),
        }
        return self._line("attempt", fields, self._bodies(event) if self._prompts else "")

    def _bodies(self, event: AttemptFinished) -> str:
        request = _ascii(event.call.body) if event.call else "null"
        answer = _ascii(event.reply.message) if event.reply else "null"
        return f',"request":{request},"answer":{answer}'

    def _batch(self, event: BatchChanged) -> bytes | None:
        return self._line("batch", batch_json(event)) if self._batch_news(event) else None

    def _waiting(self, event: Waiting) -> bytes | None:
        # Waits of a whole pool have no row, and count for none.
        if event.id:
            self._waited.since(event.id, event.reason)
        return self._line("wait", asdict(event)) if event.seconds >= MIN_REPORTED_S else None

    def _retrying(self, event: Retrying) -> bytes:
        if event.id:
            self._waited.since(event.id, "retry")
        return self._line("retry", asdict(event))


class Waited:
    """The seconds that each row has waited since its last attempt, by reason."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        # Mutable: what each row waits for now and since when, and what it has waited
        # for before. A row leaves with its next attempt; those of a run that stops
        # never do, and they are few.
        self._waits: dict[str, list[tuple[str, float]]] = {}

    def since(self, row: str, reason: str) -> None:
        """From now on *row* waits for *reason*, and for nothing reported before."""
        self._waits.setdefault(row, []).append((reason, self._now()))

    def pop(self, row: str, in_flight_ms: int) -> dict[str, int]:
        """Milliseconds by reason until the attempt that ended now and took
        *in_flight_ms*.
        """
        waits = self._waits.pop(row, None)
        if waits is None:
            return {}
        found: dict[str, int] = {}
        # A wait ends where the next begins; the last one when the request left.
        ends = [since for _, since in waits[1:]] + [self._now() - in_flight_ms / 1000]
        for (reason, since), end in zip(waits, ends, strict=True):
            found[reason] = found.get(reason, 0) + max(0, round((end - since) * 1000))
        return found


def _encoded(value: object) -> str:
    """*value* as JSON in printable ASCII; a number that is none becomes null."""
    try:
        return _ascii(encode_in_order(value))
    except UnicodeEncodeError:
        # Half a character, of which the fast encoder wants to know nothing.
        return _slowly(value).replace("\x7f", "\\u007f")


def _ascii(json: bytes) -> str:
    """*json* letter by letter, with escapes for what is no printable ASCII: in JSON
    that is only found in strings.
    """
    text = json.decode()
    return (
        text
        if text.isascii() and text.isprintable()
        else _UNSAFE.sub(lambda found: _slowly(found[0])[1:-1], text)
    )
