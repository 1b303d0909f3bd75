"""Whatever befalls the row that goes ahead of a beginning, in whole runs: it is
answered before, is equal to another, fails, goes to another model, does not fit under
the cap, or the run ends. No row waits for ever, and each ends once.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from claudebatch.core.domain import Call, Outcome, Succeeded
from claudebatch.core.events import ConcurrencyChanged, Event
from claudebatch.engine.engine import Ended, Engine
from claudebatch.layers.prompt_caching import own_marks
from claudebatch.setup.stack import build_stack
from tests.layers.prompt_caching.rows import DOCUMENT, MARK, block
from tests.support.caching_api import CachingApi
from tests.support.parts import Bench, make_bench
from tests.support.scripted import (
    HAIKU,
    SONNET,
    bad_request,
    make_reply,
    overloaded,
    rate_limited,
    timed_out,
)
from tests.support.virtual import now, run_virtual, virtual

LANE = "haiku-5.5"
CHAIN = {HAIKU: [SONNET]}
QUICK = {"max_attempts": 2, "base_s": 1.0, "cap_s": 2.0, "budget_floor_per_s": 100.0}
NO_DOOR = {"minimum_calls": 1000}
"""A breaker that stays shut out of it: rows meet the model themselves."""


@dataclass(frozen=True)
class Row:
    """One row of the input, and what becomes of it at its first model."""

    document: str
    """Which it asks about; empty: a request of its own."""
    question: int
    """Rows with one document and question are equal."""
    known: bool = False
    """Whether its answer is in the response cache."""
    meets: str = "answered"
    max_tokens: int = 100


FATES: dict[str, Callable[[int], Exception | None]] = {
    "answered": lambda times: None,
    "refused": lambda times: bad_request(),
    "fails once": lambda times: overloaded() if times == 0 else None,
    "cut off once": lambda times: timed_out() if times == 0 else None,
    "429 once": lambda times: rate_limited(3) if times == 0 else None,
    "falls back": lambda times: overloaded(),
}
"""What the first model says to each of a row's requests."""


class Play:
    """A run of *rows*: the engine over the whole stack, before an API that caches."""

    def __init__(self, rows: Sequence[Row], *, in_flight: int = 4, **options: Any) -> None:
        config = {"retry": QUICK, "breaker": NO_DOOR, "fallbacks": CHAIN, **options}
        self.bench: Bench = make_bench(concurrency=in_flight, **config)
        self.rows = rows
        self.api = CachingApi(latency_s=5, head_s=1, keep=False)
        self.api.befalls = self._befalls
        self.outcomes: dict[int, Outcome] = {}
        self.times = Counter[int]()
        self._in_flight = in_flight
        self._left = iter([self.call(number) for number in range(len(rows))])
        for number, row in enumerate(rows):
            if row.known:
                known = make_reply("known before", model=HAIKU)
                self.bench.cache.kept[self.bench.parts.keys(self.call(number))] = known.message

    def call(self, number: int) -> Call:
        """The call of a row."""
        row = self.rows[number]
        own = f"{row.document} {row.question}" if row.document else f"own {number}"
        system = [block(f"{row.document} {DOCUMENT}", MARK)] if row.document else "Be brief."
        return self.bench.call(
            own, row=number, model=HAIKU, system=system, max_tokens=row.max_tokens
        )

    def _befalls(self, call: Call, number: int) -> Exception | None:
        if call.model != HAIKU:
            return None
        before, self.times[call.row] = self.times[call.row], self.times[call.row] + 1
        return FATES[self.rows[call.row].meets](before)

    async def __call__(self, *, most_s: float = 3600.0) -> Ended:
        """Play it to its end."""
        bench = self.bench

        async def finish(outcome: Outcome) -> None:
            assert outcome.call.row not in self.outcomes, "each row ends once"
            self.outcomes[outcome.call.row] = outcome

        def emit(event: Event) -> None:
            if isinstance(event, ConcurrencyChanged):
                engine.resize(event.pool, event.limit)

        parts = replace(bench.parts, emit=emit, place=own_marks.place)
        engine = Engine(
            build_stack(parts, self.api),
            feeds=[self],  # type: ignore[list-item]
            workers=self._in_flight + 1,
            finish=finish,
            value_of=lambda call, reply: 0,
            drain=bench.drain,
            now=now,
            emit=emit,
            resting=parts.resting,
        )
        async with asyncio.timeout(most_s):
            ended = await engine.run()
        assert ended.crashed is None
        assert parts.resting.places(LANE) == 0
        assert bench.budget_store.held == 0
        assert all(len(entry.outcomes) == 1 for entry in bench.log.entries)
        return ended

    lane = LANE

    async def take(self) -> Call | None:
        """The next row."""
        return next(self._left, None)

    def over(self, call: Call) -> None:
        """Nothing of *call* is kept."""

    def sources(self) -> list[str]:
        """Where the answer of each row came from; `failed`, or `pending`."""
        return [_source(self.outcomes.get(number)) for number in range(len(self.rows))]

    def models(self) -> list[str]:
        """The model that answered each row."""
        found = [self.outcomes[number] for number in range(len(self.rows))]
        return [one.reply.model for one in found if isinstance(one, Succeeded)]


def _source(outcome: Outcome | None) -> str:
    if outcome is None:
        return "pending"
    return outcome.reply.source if isinstance(outcome, Succeeded) else "failed"


def asking(document: str, count: int, **facts: Any) -> list[Row]:
    return [Row(document, number, **facts) for number in range(count)]


@virtual
async def test_a_first_row_that_is_answered_from_the_response_cache_leads_nobody():
    play = Play([Row("A", 0, known=True), *asking("A", 9)[1:]])
    await play()
    assert play.sources() == ["cache"] + ["api"] * 8
    assert play.api.writes == 1
    assert [row for _, row in play.api.came][:2] == [1, 2]


@virtual
async def test_where_all_rows_but_one_are_answered_before_nobody_is_waited_for():
    play = Play([*asking("A", 8, known=True), Row("A", 9)])
    await play()
    assert play.sources() == ["cache"] * 8 + ["api"]
    assert now() == 5.0


@virtual
async def test_a_leader_that_falls_back_to_another_model_hands_on_the_lead():
    play = Play([Row("A", 0, meets="falls back"), *asking("A", 9)[1:]])
    await play()
    assert play.sources() == ["api"] * 9
    assert play.models() == [SONNET] + [HAIKU] * 8
    assert play.api.writes == 2, "each model has a cache of its own"


@virtual
async def test_where_all_rows_fall_back_one_of_them_leads_at_the_other_model():
    play = Play(asking("A", 12, meets="falls back"))
    await play()
    assert set(play.models()) == {SONNET}
    assert play.api.writes == 1, "what fails before its head writes nothing"


@virtual
async def test_a_leader_that_others_are_equal_to_leads_once_for_all_of_them():
    play = Play([Row("A", 0), Row("A", 0), Row("A", 0), *asking("A", 9)[1:]])
    await play()
    assert Counter(play.sources()) == {"api": 9, "duplicate": 2}
    assert play.api.writes == 1


@virtual
async def test_a_leader_that_is_refused_for_all_that_are_equal_to_it_hands_on_the_lead():
    refused = Row("A", 0, meets="refused")
    play = Play([refused, refused, refused, *asking("A", 9)[1:]])
    await play()
    assert play.sources() == ["failed"] * 3 + ["api"] * 8
    assert play.api.writes == 1


@virtual
async def test_a_leader_that_does_not_fit_under_the_cap_hands_on_the_lead():
    rows = [Row("A", 0, max_tokens=50_000), *asking("A", 9)[1:]]
    dear = Play(rows)
    cap = dear.bench.worst(dear.call(0)) - 1
    play = Play(rows, cap=cap)
    ended = await play()
    assert play.sources() == ["pending"] + ["api"] * 8
    assert ended.over_budget is not None
    assert play.api.writes == 1


@virtual
async def test_a_run_that_ends_while_a_leader_is_out_keeps_its_answer_and_sends_no_other():
    play = Play(asking("A", 9))
    asyncio.get_running_loop().call_later(0.5, play.bench.drain.start, "Ctrl-C")
    await play()
    assert play.sources() == ["api"] + ["pending"] * 8
    assert now() == 5.0


@virtual
async def test_a_run_that_ends_while_a_leader_waits_for_its_second_try_waits_for_the_next_alone():
    play = Play([Row("A", 0, meets="fails once"), *asking("A", 9)[1:]], in_flight=1)
    asyncio.get_running_loop().call_later(0.6, play.bench.drain.start, "Ctrl-C")
    await play()
    assert play.sources() == ["pending", "api"] + ["pending"] * 7
    assert now() == 5.5


def bare(row: Row) -> Row:
    """What *row* asks for."""
    return replace(row, known=False, meets="")


rows_of = st.lists(
    st.builds(
        Row,
        document=st.sampled_from(["A", "A", "B", "C", ""]),
        question=st.integers(0, 4),
        known=st.sampled_from([False, False, True]),
        meets=st.sampled_from(["answered"] * 4 + [*FATES]),
        max_tokens=st.sampled_from([100, 100, 100, 20_000]),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=200, deadline=None)
@given(
    rows=rows_of,
    in_flight=st.sampled_from([1, 2, 8]),
    streams=st.booleans(),
    works=st.sampled_from(["always", "always", "never read", "ignored"]),
    affords=st.none() | st.integers(1, 30),
    drained_at=st.none() | st.integers(0, 80).map(lambda n: n / 4),
)
def test_every_row_ends_once_whatever_befalls_those_that_go_ahead(
    rows, in_flight, streams, works, affords, drained_at
):
    async def main() -> None:
        cap = None
        if affords is not None:
            cheap = Play([Row("A", 0)])
            cap = affords * cheap.bench.worst(cheap.call(0))
        play = Play(rows, in_flight=in_flight, cap=cap)
        play.api.streams, play.api.works = streams, works
        if drained_at is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(drained_at, play.bench.drain.start, "enough")
        # Each row twice, one after the other, and all pauses.
        ended = await play(most_s=60.0 + 20.0 * len(rows))
        stopped = drained_at is not None or ended.over_budget is not None or ended.stop is not None
        for row, source in zip(rows, play.sources(), strict=True):
            expected = {"api", "duplicate", "cache"} | ({"pending"} if stopped else set())
            # A refusal is that of all rows that asked for the same meanwhile.
            equal = {one.meets for one in rows if bare(one) == bare(row)}
            assert source in expected | ({"failed"} if "refused" in equal else set()), row
        if not stopped and works == "always" and {row.meets for row in rows} == {"answered"}:
            asked = {rows[number].document for _, number in play.api.came} - {""}
            assert play.api.writes == len(asked)

    run_virtual(main())
