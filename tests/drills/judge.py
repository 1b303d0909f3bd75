"""What must hold after every death. The evidence is the simulator's own log, held
against what lies on the disk.

An answer counts as received when its commit has returned. Between its last byte and
that commit lie some milliseconds in which the request still counts as in flight: who
dies there had no time to write anything down.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from tests.drills.workspace import Seen

_VOLATILE = re.compile(rb'"latency_ms":\d+|"request_id":"[^"]*"|"id":"msg_[^"]*"')
"""What the API and the clock give differently every time: two numbers of its own, and
how long it took.
"""


def stable(output: bytes) -> bytes:
    """A results file without what differs between any two runs."""
    return _VOLATILE.sub(lambda found: found[0].split(b":")[0], output)


class Judge:
    """Follows one case from death to death; `problems` is empty when every promise was
    kept.
    """

    def __init__(self, *, in_flight: int) -> None:
        """At most *in_flight* requests were under way at once."""
        self._in_flight = in_flight
        self.problems: list[str] = []
        self.requests = self.resends = self.bill = self.unknown = 0
        self._known: dict[str, str] = {}
        self._retired: set[str] = {""}
        self._bill_before = 0
        self._asked: set[str] = set()
        self._may_resend = 0
        self._heard = 0

    def retire(self, ids: Iterable[str], *, new_run: bool = False) -> None:
        """What answers these rows now is out of date: they are asked anew, or gone, and
        rightly.
        """
        for id_ in ids:
            self._may_resend -= id_ in self._asked and id_ not in self._known
            self._retired.add(self._known.pop(id_, ""))
            self._asked.discard(id_)
        if new_run:
            self._bill_before = self.bill

    def hear(self, log: list[dict[str, Any]], seen: Seen, *, where: str) -> None:
        """A session has ended: *log* is all that the simulator told so far."""
        new, self._heard = log[self._heard :], len(log)
        asked = Counter(event["text"].split()[0] for event in new if event["event"] == "asked")
        self.bill += sum(event.get("billed_pico", 0) for event in new)
        for found in (seen.answers, seen.shown):
            for id_ in [id_ for id_, message in found.items() if message in self._retired]:
                del found[id_]
        self._sent(asked, seen, where)
        self._kept(seen, where)
        self._money(seen, where)
        for damage in seen.damage:
            self._say(where, f"damaged {damage}")
        for id_ in seen.twice:
            self._say(where, f"{id_} has two result lines")
        self._known |= seen.answers

    def finished(self, output: bytes, expected: bytes, seen: Seen) -> None:
        """The run is done: compare what it wrote with an undisturbed run, and the
        ledger with the bill.
        """
        if seen.ledger > self.bill + seen.unknown:
            self._say(
                "at the end",
                f"billed {self.bill}, unknown {seen.unknown}, the ledger counts {seen.ledger}",
            )
        if stable(output) != expected:
            self._say("at the end", "the output differs from that of an undisturbed run")
        if self.resends > self._may_resend:
            self._say(
                "at the end",
                f"{self.resends} re-sends, {self._may_resend} requests in flight at deaths",
            )

    def resumed(self, log: list[dict[str, Any]], same: bool) -> None:
        """The finished run was started once more."""
        again = sum(event["event"] == "asked" for event in log[self._heard :])
        if again or not same:
            self._say(
                "a finished run", f"sent {again} requests; output {'kept' if same else 'changed'}"
            )

    def _sent(self, asked: Counter[str], seen: Seen, where: str) -> None:
        for id_, count in asked.items():
            if id_ in self._known:
                self._say(where, f"{id_} was asked again although its answer had been received")
            if count > 1:
                self._say(where, f"{id_} was asked {count} times in one session")
            if id_ not in seen.attempts:
                self._say(where, f"{id_} was sent and nothing was written down first")
        self.requests += asked.total()
        self.resends += len(self._asked & asked.keys())
        self._asked |= asked.keys()
        open_ = asked.keys() - seen.answers.keys()
        self._may_resend += len(open_)
        if len(open_) > self._in_flight:
            self._say(
                where,
                f"{len(open_)} requests without an outcome, {self._in_flight} may be in flight",
            )

    def _kept(self, seen: Seen, where: str) -> None:
        for id_, message in self._known.items():
            if seen.answers.get(id_) != message:
                self._say(where, f"the answer of {id_} was received and is lost")
        for id_, message in seen.shown.items():
            if seen.answers.get(id_) != message:
                self._say(where, f"the result of {id_} was shown before it was written down")

    def _money(self, seen: Seen, where: str) -> None:
        self.unknown = seen.unknown
        if not (
            seen.spent <= self.bill and self.bill - self._bill_before <= seen.spent + seen.unknown
        ):
            self._say(where, f"billed {self.bill}, journal {seen.spent} + unknown {seen.unknown}")
        if seen.ledger < self.bill:
            self._say(where, f"billed {self.bill}, the ledger counts only {seen.ledger}")

    def _say(self, where: str, what: str) -> None:
        self.problems.append(f"{where}: {what}")
