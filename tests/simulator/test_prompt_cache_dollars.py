"""The simulated prompt cache by what it bills: each documented rule, in dollars of
input at Opus 5.5 ($4 a million, $5 and $8 written, $0.20 read).
"""

from __future__ import annotations

import asyncio
import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from claudebatch.core.domain import PICO_PER_USD, Usage
from claudebatch.models.prices import PriceBook
from claudebatch.simulator.count_input import count_input
from claudebatch.simulator.promptcache import PromptCache
from claudebatch.simulator.refusals import RefusedRequest
from claudebatch.simulator.traits import MODELS

BOOK = PriceBook.load(at=datetime(2026, 11, 22, tzinfo=UTC))
MODEL = "claude-opus-5-5"
SHORT = {"type": "ephemeral"}
LONG = {"type": "ephemeral", "ttl": "1h"}
# The first 20 bytes of a prompt are the frame's.
FIRST = "f" * 2_580


def dollars(*, plain: int = 0, short: int = 0, long: int = 0, read: int = 0) -> int:
    """Pico-dollars of so many tokens."""
    micro_cents = plain * 400 + short * 500 + long * 800 + read * 20
    return micro_cents * PICO_PER_USD // 10**8


def text(number: int, mark: Any = None, *, letters: str = "") -> dict[str, Any]:
    """A block of 1,000 tokens, other than those of other numbers."""
    words = letters or (FIRST if number == 0 else f"{number:05d}".ljust(2_600, "b"))
    return {"type": "text", "text": words, **({"cache_control": mark} if mark else {})}


def asking(blocks: list[Any], system: Any = None, **more: Any) -> dict[str, Any]:
    body = {"model": MODEL, "max_tokens": 5, "messages": [{"role": "user", "content": blocks}]}
    return {**body, **({"system": system} if system else {}), **more}


class World:
    """A prompt cache, and what requests to it cost."""

    def __init__(self) -> None:
        self.cache = PromptCache()

    def ask(
        self, body: dict[str, Any], at: float, *, begins: float | None = None, owner: str = ""
    ) -> int:
        """Pico-dollars of the input of a request at second *at*; a later one than
        *begins* finds what it wrote.
        """
        traits = MODELS[body["model"]]
        use = self.cache.use(body, traits, at, owner)
        self.cache.touch(use, at)
        if begins is None:
            self.cache.keep(use, at)
        usage = Usage(
            input_tokens=count_input(body, traits) - use.read - use.written_5m - use.written_1h,
            ephemeral_5m_input_tokens=use.written_5m,
            ephemeral_1h_input_tokens=use.written_1h,
            cache_read_input_tokens=use.read,
        )
        self.begins = lambda: self.cache.keep(use, at)
        return BOOK.cost(body["model"], usage)


WRITTEN, READ = dollars(short=1_000, plain=1_000), dollars(read=1_000, plain=1_000)
UNCACHED = dollars(plain=2_000)


def row(number: int, mark: Any = SHORT) -> dict[str, Any]:
    return asking([text(number)], system=[text(0, mark)])


def test_a_beginning_is_written_once_and_read_by_all_that_follow():
    world = World()
    costs = [world.ask(row(number), 0) for number in range(1, 80)]
    assert costs == [WRITTEN, *[READ] * 78]
    assert world.ask(row(1, None), 0) == UNCACHED


def test_an_entry_is_there_from_the_beginning_of_the_answer_that_writes_it():
    world = World()
    assert world.ask(row(1), 0, begins=9) == WRITTEN
    begin = world.begins
    assert world.ask(row(2), 8, begins=17) == WRITTEN
    begin()
    assert world.ask(row(3), 9, begins=18) == READ


def test_its_life_is_counted_from_the_start_of_the_request_not_from_the_answer():
    for second, cost in ((299, READ), (300, WRITTEN)):
        world = World()
        world.ask(row(1), 0, begins=290)
        world.begins()
        assert world.ask(row(2), second) == cost


def test_each_read_refreshes_it_for_five_minutes_more_at_no_cost():
    world = World()
    assert [world.ask(row(n), 299.0 * n) for n in range(1, 12)] == [WRITTEN, *[READ] * 10]
    assert world.ask(row(99), 299.0 * 11 + 300) == WRITTEN


def test_an_hour_costs_twice_the_input_and_lasts_for_one():
    world = World()
    assert world.ask(row(1, LONG), 0) == dollars(long=1_000, plain=1_000)
    assert world.ask(row(2, LONG), 3_599) == READ
    assert world.ask(row(3, LONG), 3_599 + 3_600) == dollars(long=1_000, plain=1_000)


def test_a_read_prolongs_a_life_by_what_was_paid_for_and_by_no_more():
    world = World()
    world.ask(row(1, SHORT), 0)
    assert world.ask(row(2, LONG), 10) == READ
    assert world.ask(row(3, LONG), 311) == dollars(long=1_000, plain=1_000)
    assert world.ask(row(4, SHORT), 400) == READ
    assert world.ask(row(5, SHORT), 3_900) == READ


def test_of_two_that_write_at_once_the_longer_life_is_kept():
    world = World()
    world.ask(row(1, LONG), 0, begins=5)
    longer = world.begins
    world.ask(row(2, SHORT), 1, begins=6)
    longer()
    world.begins()
    assert world.ask(row(3), 3_599) == READ


def test_with_both_lives_in_one_request_each_part_costs_its_own():
    world = World()
    both = [text(0, LONG), text(1), text(2, SHORT)]
    assert world.ask(asking([text(3)], system=both), 0) == dollars(
        long=1_000, short=2_000, plain=1_000
    )
    assert world.ask(asking([text(5)], system=both), 0) == dollars(read=3_000, plain=1_000)
    # Position A is the end of the hour's entry: only what follows is written again.
    assert world.ask(asking([text(4)], system=both), 301) == dollars(
        read=1_000, short=2_000, plain=1_000
    )


def test_twenty_positions_are_looked_up_and_a_second_mark_looks_up_twenty_more():
    # The example of the documentation: 10 blocks, then 15, then 35.
    def conversation(last: int, *marks: int) -> dict[str, Any]:
        return asking([text(n, SHORT if n in marks else None) for n in range(last)])

    world = World()
    assert world.ask(conversation(10, 9), 0) == dollars(short=10_000)
    assert world.ask(conversation(15, 14), 0) == dollars(read=10_000, short=5_000)
    third = copy.deepcopy(world)
    assert third.ask(conversation(35, 34), 0) == dollars(short=35_000)
    assert world.ask(conversation(35, 14, 34), 0) == dollars(read=15_000, short=20_000)
    assert world.ask(conversation(54, 53), 0) == dollars(read=35_000, short=19_000)


def test_a_run_of_tool_calls_or_of_their_results_is_one_position():
    def results(count: int) -> list[dict[str, Any]]:
        return [
            {"type": "tool_result", "tool_use_id": f"t{n}", "content": "r" * 2_600}
            for n in range(count)
        ]

    for kept, cost in ((results(30), dollars(read=1_000, short=31_000)), ([], None)):
        world = World()
        world.ask(asking([text(0, SHORT)]), 0)
        blocks = kept or [text(n) for n in range(1, 31)]
        found = world.ask(asking([text(0), *blocks, text(99, SHORT)]), 0)
        assert found == (cost or dollars(short=32_000))


@pytest.mark.parametrize(
    ("model", "minimum"),
    [
        ("claude-fable-5-2", 512),
        ("claude-opus-5-5", 512),
        ("claude-haiku-5-5", 512),
        ("claude-sonnet-5", 1_024),
        ("claude-opus-4-8", 1_024),
        ("claude-opus-4-7", 2_048),
        ("claude-opus-4-6", 4_096),
        ("claude-opus-4-5", 4_096),
        ("claude-haiku-4-5", 4_096),
    ],
)
def test_a_beginning_below_the_minimum_of_its_model_is_passed_over_in_silence(model, minimum):
    traits = MODELS[model]
    for tokens in (minimum - 1, minimum):
        world = World()
        # In halves of a token, so that rounding cannot hide the border.
        size = int((tokens + 0.5) * traits.bytes_per_token) - 20
        system = [{"type": "text", "text": "x" * size, "cache_control": SHORT}]
        body = {**asking([text(1)], system=system), "model": model}
        uses = []
        for _ in range(2):
            uses.append(world.cache.use(body, traits, 0))
            world.cache.keep(uses[-1], 0)
        kept = tokens if tokens == minimum else 0
        assert [(use.written_5m, use.read) for use in uses] == [(kept, 0), (0, kept)]


TOOL = {"name": "look", "description": "d" * 4_000, "input_schema": {"type": "object"}}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aa"}}
LEVELS = asking([text(1, SHORT), text(7)], system=[text(0, SHORT)])
LEVELS["tools"] = [{**TOOL, "cache_control": SHORT}]


def with_citations(body: dict[str, Any]) -> dict[str, Any]:
    source = {"type": "text", "media_type": "text/plain", "data": "d"}
    cited = {"type": "document", "source": source, "citations": {"enabled": True}}
    return {**body, "messages": [{"role": "user", "content": [text(1, SHORT), cited]}]}


@pytest.mark.parametrize(
    ("survive", "changed"),
    [
        (3, {"max_tokens": 6}),
        (3, {"metadata": {"user_id": "u"}}),
        (3, {"stop_sequences": ["x"]}),
        (2, {"messages": [{"role": "user", "content": [text(2, SHORT), text(7)]}]}),
        (2, {"tool_choice": {"type": "none"}}),
        (2, {"messages": [{"role": "user", "content": [text(1, SHORT), text(7), IMAGE]}]}),
        (2, {"output_config": {"format": {"type": "json_schema", "schema": {}}}}),
        (1, {"system": [text(5, SHORT)]}),
        (1, {"speed": "fast"}),
        (1, with_citations(LEVELS)),
        (0, {"tools": [{**TOOL, "description": "e" * 4_000, "cache_control": SHORT}]}),
        (0, {"thinking": {"type": "adaptive"}}),
        (0, {"output_config": {"effort": "low"}}),
    ],
)
def test_a_change_takes_its_own_level_and_those_behind_it(survive, changed):
    world = World()
    world.ask(LEVELS, 0)
    ends = [prefix.tokens for prefix in world.cache.use(LEVELS, MODELS[MODEL], 0).marked]
    after = world.cache.use({**LEVELS, **changed}, MODELS[MODEL], 0)
    assert after.read == [0, *ends][survive]


def test_models_workspaces_and_beta_headers_share_nothing():
    world = World()
    world.ask(row(1), 0, owner="a")
    assert world.ask(row(2), 0, owner="b") == WRITTEN
    assert world.ask(row(2), 0, owner="a") == READ
    other = {**row(3), "model": "claude-sonnet-5-5"}
    assert world.cache.use(other, MODELS["claude-sonnet-5-5"], 0, "a").read == 0


def test_the_mark_for_all_of_a_request_falls_on_its_last_block():
    world = World()
    automatic = {"cache_control": SHORT}
    assert world.ask(asking([text(0), text(1)], **automatic), 0) == dollars(short=2_000)
    # It moves on with a conversation …
    longer = asking([text(0), text(1), text(2)], **automatic)
    assert world.ask(longer, 0) == dollars(read=2_000, short=1_000)
    # … and never reads where the last block is another one each time.
    assert world.ask(asking([text(0), text(9)], **automatic), 0) == dollars(short=2_000)


def test_the_mark_for_all_of_a_request_passes_over_what_takes_none():
    thought = {"type": "thinking", "thinking": "t" * 2_600, "signature": "s"}
    body = asking([text(0)], cache_control=SHORT)
    body["messages"].append({"role": "assistant", "content": [thought]})
    world = World()
    assert world.ask(body, 0) == dollars(short=1_000, plain=1_000)


def test_a_text_is_one_block_and_a_mark_is_no_part_of_what_it_marks():
    world = World()
    world.ask(asking([text(1)], system=[text(0, SHORT)]), 0)
    bare = world.cache.use(
        asking([{**text(1), "cache_control": SHORT}], system=FIRST), MODELS[MODEL], 0
    )
    assert (bare.read, bare.written_5m) == (1_000, 1_000)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (asking([text(n, SHORT) for n in range(5)]), "A maximum of 4 blocks"),
        (asking([text(n, SHORT) for n in range(4)] + [text(9)], cache_control=SHORT), "Found 5"),
        (asking([text(0, SHORT), text(1, LONG)]), "must not come after"),
        (asking([text(0, SHORT)], cache_control=LONG), "another ttl"),
        (asking([text(0, {"type": "ephemeral", "ttl": "2h"})]), "Input should be '5m' or '1h'"),
    ],
)
def test_marks_that_the_api_refuses_are_a_400(body, words):
    with pytest.raises(RefusedRequest) as refused:
        World().ask(body, 0)
    assert refused.value.status == 400
    assert words in str(refused.value.message)


class Sleeps:
    """Waits that end when a test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[float, asyncio.Future[None]]] = []

    async def __call__(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        self.waiting.append((seconds, future))
        await future

    def end(self, number: int) -> float:
        seconds, future = self.waiting.pop(number)
        future.set_result(None)
        return seconds


async def test_requests_together_all_write_and_one_after_the_beginning_reads(serve):
    sleeps = Sleeps()
    served = await serve(latency="fixed:10", begins_after_s=2, sleep=sleeps, bill=BOOK.cost)
    first = [asyncio.create_task(served.ask(row(n))) for n in (1, 2)]
    await served.until(lambda: len(sleeps.waiting) == 2)
    assert sleeps.end(0) == 2
    await served.until(lambda: [s for s, _ in sleeps.waiting] == [2, 8])
    # Neither has been answered: the first one's answer has only begun.
    later = asyncio.create_task(served.ask(row(3)))
    await served.until(lambda: len(sleeps.waiting) == 3)
    while not all(task.done() for task in (*first, later)):
        if sleeps.waiting:
            sleeps.end(0)
        await asyncio.sleep(0.001)
    usages = [(await task).json["usage"] for task in (*first, later)]
    assert [u["cache_creation_input_tokens"] for u in usages] == [1_000, 1_000, 0]
    assert usages[2]["cache_read_input_tokens"] == 1_000
    output = sum(u["output_tokens"] for u in usages)
    assert served.simulator.stats()["billed_pico"] == 2 * WRITTEN + READ + dollars(plain=output * 5)


async def test_a_pre_warm_is_answered_when_its_beginning_is_there_and_pays_for_that_alone(serve):
    sleeps = Sleeps()
    served = await serve(latency="fixed:10", sleep=sleeps, bill=BOOK.cost)
    warm = (await served.ask({**row(1), "max_tokens": 0})).json
    assert (warm["content"], warm["stop_reason"]) == ([], "max_tokens")
    assert served.simulator.stats()["billed_pico"] == WRITTEN
    assert sleeps.waiting == []
    streamed = await served.ask({**row(1), "max_tokens": 0, "stream": True})
    assert streamed.status == 400


async def test_a_request_that_is_not_let_in_prolongs_no_life(serve):
    served = await serve(bill=BOOK.cost)
    await served.ask(row(1))
    served.now.seconds += 200
    served.simulator.set_faults({}, ("429",))
    assert (await served.ask(row(2))).status == 429
    served.now.seconds += 99
    assert (await served.ask(row(2))).json["usage"]["cache_read_input_tokens"] == 1_000
    served.now.seconds += 299
    assert (await served.ask(row(2))).json["usage"]["cache_read_input_tokens"] == 1_000
    served.simulator.set_faults({}, ("429",))
    assert (await served.ask(row(2))).status == 429
    served.now.seconds += 300
    assert (await served.ask(row(3))).json["usage"]["cache_creation_input_tokens"] == 1_000


def reason(heard: Any) -> Any:
    return heard.json["diagnostics"]


async def test_diagnostics_name_the_first_part_that_differs(serve):
    served = await serve()
    first = await served.ask({**LEVELS, "diagnostics": {"previous_message_id": None}})
    assert first.json["diagnostics"] is None
    compared = {"previous_message_id": first.json["id"]}
    cases = [
        ({}, None),
        ({"max_tokens": 9}, None),
        ({"tools": [TOOL | {"name": "other"}]}, "tools_changed"),
        ({"system": "Other."}, "system_changed"),
        ({"messages": [{"role": "user", "content": "Other"}]}, "messages_changed"),
        ({"model": "claude-sonnet-5-5"}, "model_changed"),
        ({"tool_choice": {"type": "none"}}, "unavailable"),
    ]
    for change, kind in cases:
        found = reason(await served.ask({**LEVELS, **change, "diagnostics": compared}))
        assert (found and found["cache_miss_reason"]["type"]) == kind
    unknown = {"previous_message_id": "msg_of_nobody"}
    assert reason(await served.ask({**LEVELS, "diagnostics": unknown})) == {
        "cache_miss_reason": {"type": "previous_message_not_found"}
    }
    other = await served.ask(
        {**LEVELS, "diagnostics": compared}, {"authorization": "Bearer another"}
    )
    assert reason(other)["cache_miss_reason"]["type"] == "previous_message_not_found"
    assert "diagnostics" not in (await served.ask(LEVELS)).json


def test_entries_beyond_the_memory_of_the_simulator_are_the_ones_used_longest_ago(monkeypatch):
    monkeypatch.setattr("claudebatch.simulator.promptcache.MAX_ENTRIES", 2)
    world = World()
    for number in (0, 5, 0, 6):
        world.ask(asking([text(1)], system=[text(number, SHORT)]), 0)
    assert world.ask(asking([text(2)], system=[text(0, SHORT)]), 0) == READ
    assert world.ask(asking([text(2)], system=[text(5, SHORT)]), 0) > READ
