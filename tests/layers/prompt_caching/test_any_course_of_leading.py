"""Whatever becomes of rows that share beginnings: each is sent once, and none waits for
ever.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from claudebatch.core.domain import Call, Reply
from claudebatch.core.errors import AttemptError, BudgetExhausted, Draining
from claudebatch.core.jsonl import decode, encode_in_order
from claudebatch.layers.prompt_caching.own_marks import without_marks
from tests.layers.prompt_caching.rows import MARK, Bench, asks, block, shared_by
from tests.support.caching_api import CachingApi, Works
from tests.support.scripted import bad_request, overloaded, timed_out
from tests.support.virtual import run_virtual

ERRORS = {
    "refused": bad_request,
    "fails": overloaded,
    "cut off": timed_out,
    "no money": lambda: BudgetExhausted("full", worst=1, needed=2, left=0, limit=1),
}


@dataclass(frozen=True)
class Row:
    """One row, and what becomes of it."""

    number: int
    document: str
    rules: bool
    fate: str
    """`answered`, one of `ERRORS`, `cut late` after its head, or `called off`."""
    comes_at: float
    called_off_at: float

    @property
    def call(self) -> Call:
        params = {"system": [block("Rules. " * 1000, MARK)]} if self.rules else {}
        mark = MARK if self.document else None
        return asks(self.number, self.document or f"own {self.number}", mark, **params)


seconds = st.integers(0, 40).map(lambda n: n / 4)
rows_of = st.lists(
    st.tuples(
        st.sampled_from(["A", "B", "C", ""]),
        st.booleans(),
        st.sampled_from(["answered"] * 4 + [*ERRORS, "cut late", "called off"]),
        seconds,
        seconds,
    ),
    min_size=1,
    max_size=25,
)


_QUESTION = "diagnostics"


def _without_question(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != _QUESTION}


class Course:
    """The layer before an API, as one example has it."""

    def __init__(
        self, rows: list[Row], works: Works, *, streams: bool, slots: int, planned: int = 0
    ) -> None:
        self.rows = rows
        self.fates = {row.number: row.fate for row in rows}
        self.bench = Bench(shared_by(planned))
        self.api = CachingApi(latency_s=3, head_s=1, streams=streams, works=works)
        self.api.befalls = self._befalls
        self.sent: dict[int, Call] = {}
        self.asked_why = Counter[int]()
        self.stack = self.bench.around(self._late, slots=slots)

    @property
    def asked_ahead(self) -> Counter[int]:
        """How many requests without output each row sent."""
        return Counter(row for _, row in self.api.asked_ahead)

    def _befalls(self, call: Call, number: int) -> Exception | None:
        make = ERRORS.get(self.fates[call.row])
        return make() if make else None

    async def _late(self, call: Call) -> Reply:
        if not call.prewarms:
            self.sent[call.row] = call
        self.asked_why[call.row] += _QUESTION in decode(call.body)
        reply = await self.api(call)
        if self.fates[call.row] == "cut late":
            raise timed_out()
        return reply

    async def play(self, drained_at: float | None) -> list[Any]:
        tasks = [asyncio.ensure_future(self._one(row)) for row in self.rows]
        for row, task in zip(self.rows, tasks, strict=True):
            if row.fate == "called off":
                asyncio.get_running_loop().call_later(row.called_off_at, task.cancel)
        if drained_at is not None:
            asyncio.get_running_loop().call_later(drained_at, self.bench.drain.start, "enough")
        # Far longer than all of them one after the other.
        async with asyncio.timeout(10 * len(self.rows) + 50):
            return await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(self, row: Row) -> Reply:
        await asyncio.sleep(row.comes_at)
        return await self.stack(row.call)


@settings(max_examples=300, deadline=None)
@given(
    rows=rows_of,
    works=st.sampled_from(["always", "always", "never read", "ignored"]),
    streams=st.booleans(),
    slots=st.sampled_from([1, 2, 5, 1000]),
    drained_at=st.none() | seconds,
    planned=st.sampled_from([0, 200]),
)
def test_every_row_is_sent_once_and_ends(rows, works, streams, slots, drained_at, planned):
    made = [Row(number, *facts) for number, facts in enumerate(rows)]

    async def main() -> None:
        course = Course(made, works, streams=streams, slots=slots, planned=planned)
        ends = await course.play(drained_at)
        # One that is refused with the question is sent again without.
        assert not (course.api.times - course.asked_why - Counter(range(len(made))))
        assert course.asked_why.total() <= (2 if works == "never read" else 0)
        for row, end in zip(made, ends, strict=True):
            assert isinstance(
                end, Reply | AttemptError | BudgetExhausted | Draining | asyncio.CancelledError
            )
            called_off = row.fate == "called off" or drained_at is not None
            # A cap that does not hold its request without output holds no answer.
            ahead = row.fate == "no money" and row.number in course.asked_ahead
            assert row.number in course.api.times or called_off or ahead
        assert max(course.asked_ahead.values(), default=0) <= 2
        assert course.bench.resting.places(made[0].call.model) == 0
        for row in made:
            if row.number in course.sent:
                plain, sent = (
                    without_marks(call).body for call in (row.call, course.sent[row.number])
                )
                if course.asked_why[row.number]:
                    sent = encode_in_order(_without_question(decode(sent)))
                assert sent == plain, "nothing differs but the marks"

    run_virtual(main())


@settings(max_examples=100, deadline=None)
@given(
    documents=st.lists(st.sampled_from("ABCDE"), min_size=1, max_size=40),
    streams=st.booleans(),
    slots=st.sampled_from([1, 3, 1000]),
    works=st.sampled_from(["always", "never read"]),
    planned=st.sampled_from([0, 200]),
)
def test_never_more_than_twice_the_writes_of_a_perfect_run(
    documents, streams, slots, works, planned
):
    made = [Row(n, name, False, "answered", 0.0, 0.0) for n, name in enumerate(documents)]

    async def main() -> None:
        course = Course(made, works, streams=streams, slots=slots, planned=planned)
        await course.play(None)
        perfect = len(set(documents))
        assert course.api.writes <= perfect * (2 if works == "never read" else 1)

    run_virtual(main())


@settings(max_examples=200, deadline=None)
@given(
    documents=st.lists(st.sampled_from("ABCDEFG"), min_size=1, max_size=60),
    lost=st.sets(st.sampled_from("ABCDEFG"), max_size=6),
    streams=st.booleans(),
    slots=st.sampled_from([1, 3, 1000]),
    planned=st.sampled_from([0, 200]),
)
@example(documents=list("ABBBB"), lost={"B"}, streams=True, slots=1, planned=0)
@example(documents=list("AABBBBCCCC"), lost={"B", "C"}, streams=True, slots=1, planned=0)
def test_nor_where_some_beginnings_are_read_and_others_are_not(
    documents, lost, streams, slots, planned
):
    made = [Row(n, name, False, "answered", 0.0, 0.0) for n, name in enumerate(documents)]

    async def main() -> None:
        course = Course(made, "always", streams=streams, slots=slots, planned=planned)
        course.api.loses = lambda call: made[call.row].document in lost
        await course.play(None)
        assert course.api.writes <= 2 * len(set(documents))

    run_virtual(main())
