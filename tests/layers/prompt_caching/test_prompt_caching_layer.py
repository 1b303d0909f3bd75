"""Of rows that share a beginning one goes ahead, and the others read what it wrote."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from claudebatch.core.domain import Call, PromptTokens, Reply
from claudebatch.core.errors import Draining
from claudebatch.core.notice import Notice
from claudebatch.layers.prompt_caching.placed import nothing_placed
from tests.layers.prompt_caching.rows import HOUR, MARK, Bench, all_of, asks, block
from tests.support.caching_api import CachingApi
from tests.support.scripted import SONNET, make_call, overloaded, rate_limited
from tests.support.virtual import cancelled, now, settled, virtual


def marks(body: dict) -> int:
    return str(body).count("cache_control")


@virtual
async def test_a_shared_beginning_is_written_once_and_read_by_all_the_others():
    api, bench = CachingApi(), Bench()
    replies = await all_of(bench.around(api), [asks(row) for row in range(50)])
    assert api.writes == 1
    assert [usage.read > 3000 for usage in api.usages] == [False] + [True] * 49
    assert all(isinstance(reply, Reply) for reply in replies)
    assert set(api.times.values()) == {1}


@virtual
async def test_the_others_follow_when_the_first_answers_begin_and_not_when_they_end():
    api, bench = CachingApi(latency_s=30, head_s=2), Bench()
    await all_of(bench.around(api), [asks(row) for row in range(50)])
    assert [at for at, _ in api.came] == [0.0, 2.0] + [4.0] * 48, (
        "one writes, one shows that it is read, and then all"
    )
    assert now() == 34


@virtual
async def test_an_answer_that_is_not_streamed_is_waited_for_to_its_end():
    api, bench = CachingApi(latency_s=30, streams=False), Bench()
    await all_of(bench.around(api), [asks(row) for row in range(50)])
    assert [at for at, _ in api.came] == [0.0, 30.0] + [60.0] * 48
    assert api.writes == 1


@virtual
async def test_beginnings_do_not_wait_for_each_other():
    api, bench = CachingApi(), Bench()
    await all_of(bench.around(api), [asks(row, "ABCD"[row % 4]) for row in range(80)])
    assert [at for at, _ in api.came] == [0.0] * 4 + [1.0] * 4 + [2.0] * 72
    assert api.writes == 4


@virtual
async def test_rows_without_a_beginning_pass_at_once():
    api, bench = CachingApi(), Bench()
    plain = make_call("hello", model=SONNET)
    stack = bench.around(api)
    await all_of(stack, [asks(0), asks(1), plain, plain, plain])
    assert [at for at, _ in api.came] == [0.0] * 4 + [1.0]


@virtual
async def test_switched_off_nothing_waits_and_nothing_is_changed():
    api, bench = CachingApi(), Bench(nothing_placed)
    await all_of(bench.around(api), [asks(row) for row in range(5)])
    assert [at for at, _ in api.came] == [0.0] * 5
    assert [marks(body) for body in api.bodies] == [1] * 5


@virtual
async def test_what_is_sent_is_what_was_asked():
    api, sent = CachingApi(), []

    async def keep(call: Call) -> Reply:
        sent.append(call)
        return await api(call)

    calls = [asks(row) for row in range(5)]
    await all_of(Bench().around(keep), calls)
    assert sorted(call.body for call in sent) == sorted(call.body for call in calls)


@virtual
async def test_the_lead_goes_to_the_next_row_when_the_first_fails():
    api = CachingApi(befalls=lambda call, number: overloaded() if number < 3 else None)
    replies = await all_of(Bench().around(api), [asks(row) for row in range(6)])
    assert [isinstance(reply, Exception) for reply in replies] == [True] * 3 + [False] * 3
    assert [at for at, _ in api.came] == [0.0, 0.5, 1.0, 1.5, 2.5, 3.5]
    assert api.writes == 1


@virtual
async def test_the_lead_goes_to_the_next_row_when_the_first_is_called_off():
    api = CachingApi()
    stack = Bench().around(api)
    tasks = [asyncio.ensure_future(stack(asks(row))) for row in range(4)]
    await asyncio.sleep(0.5)
    assert len(api.came) == 1
    await cancelled(tasks[0])
    await settled()
    assert [row for _, row in api.came] == [0, 1]
    # Called off while it waits, and in the very moment in which it is called up.
    await cancelled(tasks[2])
    assert (await tasks[3]).source == "api"


@virtual
async def test_a_row_that_is_called_off_in_the_moment_it_is_called_up_passes_the_lead_on():
    api = CachingApi()

    async def fails(call: Call) -> Reply:
        if call.row == 0:
            await asyncio.sleep(1)
            # Before the row is woken that is called up by this failure.
            asyncio.get_running_loop().call_soon(tasks[1].cancel)
            raise overloaded()
        return await api(call)

    stack = Bench().around(fails)
    tasks = [asyncio.ensure_future(stack(asks(row))) for row in range(3)]
    await asyncio.wait(tasks, timeout=100)
    assert tasks[1].cancelled()
    assert tasks[2].result().source == "api"


@virtual
async def test_a_row_that_goes_ahead_and_hangs_lets_one_more_row_by():
    api, bench = CachingApi(), Bench()

    async def hangs(call: Call) -> Reply:
        if call.row == 0:
            await asyncio.sleep(600)
        return await api(call)

    tasks = [asyncio.ensure_future(bench.around(hangs)(asks(row))) for row in range(20)]
    await asyncio.gather(*tasks[1:])
    assert api.writes == 1
    assert now() == 60 + 2 + 10
    await tasks[0]


@virtual
async def test_two_rows_that_hang_let_no_third_one_by():
    api, bench = CachingApi(latency_s=200, head_s=200, streams=False), Bench()
    stack = bench.around(api)
    await all_of(stack, [asks(row) for row in range(20)])
    assert [at for at, _ in api.came][:4] == [0.0, 60.0, 260.0, 460.0]
    assert api.writes == 2, "it takes long, and nobody knew"
    began = now()
    await all_of(stack, [asks(row, "B") for row in range(20)])
    assert [at - began for at, _ in api.came[20:]][:3] == [0.0, 200.0, 400.0], "now it is known"


@virtual
async def test_a_drain_ends_every_wait():
    api, bench = CachingApi(), Bench()
    stack = bench.around(api)
    tasks = [asyncio.ensure_future(stack(asks(row))) for row in range(20)]
    await settled()
    bench.drain.start("enough")
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(end) for end in ends] == [Reply] + [Draining] * 19
    assert len(api.came) == 1


@virtual
async def test_rows_that_wait_lend_their_workers_places():
    api, bench = CachingApi(), Bench()
    stack, lane = bench.around(api), SONNET
    tasks = [asyncio.ensure_future(stack(asks(row))) for row in range(20)]
    await settled()
    assert bench.resting.places(lane) == 19
    await asyncio.sleep(1.5)
    assert bench.resting.places(lane) == 18
    await asyncio.sleep(1)
    assert bench.resting.places(lane) == 0
    await asyncio.gather(*tasks)


@virtual
async def test_no_more_rows_rest_than_can_be_answered_while_what_they_share_is_there():
    api, bench = CachingApi(latency_s=50), Bench()
    bench.resting.count_slots = lambda lane: 5
    stack = bench.around(api)
    for most, name in ((4 * 5, "A"), (150 // 50 * 5, "B")):
        ends = asyncio.ensure_future(all_of(stack, [asks(row, name) for row in range(50)]))
        await settled()
        assert bench.resting.places(SONNET) == most
        assert len(await ends) == 50
    api.latency_s = 400
    await all_of(stack, [asks(row, "C") for row in range(50)])
    ends = asyncio.ensure_future(all_of(stack, [asks(row, "D") for row in range(50)]))
    await settled()
    assert bench.resting.places(SONNET) == 2 * 5
    await ends


@virtual
async def test_rows_that_met_a_429_stay_at_rest_though_their_turn_comes():
    api, bench = CachingApi(), Bench()
    stack = bench.around(api, slots=1)
    bench.resting.begin(7, SONNET, 100)
    tasks = [asyncio.ensure_future(stack(asks(row))) for row in (0, 1, 7)]
    await asyncio.sleep(25)
    assert bench.resting.places(SONNET) == 1
    await asyncio.gather(*tasks)


@virtual
async def test_few_rows_that_follow_stand_in_the_limiters_line():
    api, bench = CachingApi(latency_s=10, head_s=1), Bench()
    below = [0, 0]

    free = asyncio.Semaphore(2)

    async def limiter(call: Call) -> Reply:
        below[0] += 1
        below[1] = max(below)
        async with free:
            bench.layer.leaves(call)
            below[0] -= 1
            return await api(call)

    await asyncio.gather(*(bench.layer(asks(row), limiter) for row in range(40)))
    assert below[1] == 8
    assert api.writes == 1


@virtual
async def test_rows_that_wait_to_be_sent_are_not_at_rest():
    api, bench = CachingApi(latency_s=10, head_s=1), Bench()
    tasks = asyncio.ensure_future(
        all_of(bench.around(api, slots=2), [asks(row) for row in range(20)])
    )
    await asyncio.sleep(5)
    assert len(api.came) == 2
    assert bench.resting.places(SONNET) == 0
    await tasks


@pytest.mark.parametrize("called_off", [False, True])
@virtual
async def test_a_lead_is_handed_on_though_the_limiters_line_is_full(called_off):
    api, bench, opened = CachingApi(), Bench(), asyncio.Event()
    await all_of(bench.around(api), [asks(row) for row in range(2)])

    async def below(call: Call) -> Reply:
        if call.row < 20:
            await opened.wait()
        bench.layer.leaves(call)
        if call.row == 20:
            await asyncio.sleep(1)
            if called_off:
                # Before the row is woken that is called up by this failure.
                asyncio.get_running_loop().call_soon(rows[1].cancel)
            raise overloaded()
        return await api(call)

    waiting = [asyncio.ensure_future(bench.layer(asks(row), below)) for row in range(2, 20)]
    await settled()
    rows = [asyncio.ensure_future(bench.layer(asks(row, "B"), below)) for row in (20, 21, 22)]
    await asyncio.wait(rows, timeout=100)
    assert [task.done() for task in rows] == [True] * 3
    assert rows[1].cancelled() == called_off
    opened.set()
    await asyncio.gather(*waiting)


@virtual
async def test_rows_of_the_beginning_that_came_first_go_first():
    api, bench = CachingApi(latency_s=10, head_s=1), Bench()
    calls = [asks(row, "AB"[row // 10]) for row in range(20)]
    await all_of(bench.around(api, slots=2), calls)
    order = [row for _, row in api.came]
    assert sorted(order[:13])[:10] == list(range(10)), "but for one that shows that B is read"


@virtual
async def test_a_beginning_at_which_rows_wait_is_used_before_it_runs_out():
    api, bench = CachingApi(latency_s=30, head_s=1), Bench()
    calls = [asks(row, "A" if row < 40 else "B") for row in range(44)]
    await all_of(bench.around(api, slots=2), calls)
    assert api.writes == 2
    used = [at for at, row in api.came if row >= 40]
    assert max(later - earlier for earlier, later in pairwise(used)) < 300
    assert used[2] > 100, "and not before it has to be"


@virtual
async def test_a_beginning_that_ran_out_while_its_rows_stood_in_line_is_led_again():
    api, bench = CachingApi(latency_s=400, head_s=1), Bench()
    calls = [asks(row, "A" if row < 6 else "B") for row in range(10)]
    await all_of(bench.around(api, slots=1), calls)
    assert len(api.came) == 10
    assert set(api.times.values()) == {1}


@virtual
async def test_after_a_pause_that_is_longer_than_the_time_to_live_one_leads_again():
    api, bench = CachingApi(), Bench()
    stack = bench.around(api)
    await all_of(stack, [asks(row) for row in range(5)])
    await asyncio.sleep(200)
    await all_of(stack, [asks(row) for row in range(5, 10)])
    assert api.writes == 1, "each read has made it last"
    await asyncio.sleep(301)
    began = now()
    await all_of(stack, [asks(row) for row in range(10, 15)])
    assert api.writes == 2
    assert [at - began for at, _ in api.came[10:]] == [0.0] + [1.0] * 4, (
        "it was read before: nobody has to show it again"
    )


@virtual
async def test_requests_that_are_out_make_it_last_before_their_answers_say_so():
    api, bench = CachingApi(latency_s=1000), Bench()
    stack = bench.around(api)
    tasks = [asyncio.ensure_future(stack(asks(row))) for row in (0, 1)]
    for pair in range(1, 5):
        await asyncio.sleep(200)
        tasks += [asyncio.ensure_future(stack(asks(row))) for row in (2 * pair, 2 * pair + 1)]
    await asyncio.gather(*tasks)
    assert [at for at, _ in api.came[2:]] == [200.0] * 2 + [400.0] * 2 + [600.0] * 2 + [800.0] * 2
    assert api.writes == 1


@virtual
async def test_a_session_that_starts_again_leads_again_and_reads_what_is_still_there():
    api = CachingApi()
    await all_of(Bench().around(api), [asks(row) for row in range(5)])
    began = now()
    await all_of(Bench().around(api), [asks(row) for row in range(5, 10)])
    assert [at - began for at, _ in api.came[5:]] == [0.0] + [1.0] * 4
    assert api.writes == 1


@virtual
async def test_an_hour_is_an_hour():
    api, bench = CachingApi(), Bench()
    stack = bench.around(api)
    await all_of(stack, [asks(row, mark=HOUR) for row in range(5)])
    await asyncio.sleep(3000)
    began = now()
    await all_of(stack, [asks(row, mark=HOUR) for row in range(5, 10)])
    assert api.writes == 1
    assert {at - began for at, _ in api.came[5:]} == {0.0}


@virtual
async def test_rows_that_stood_in_line_longer_than_an_entry_lives_lead_again():
    held = asyncio.Event()
    api, bench = CachingApi(), Bench()
    stack = bench.around(api)
    await all_of(stack, [asks(row) for row in range(3)])

    async def paused(call: Call) -> Reply:
        await held.wait()
        bench.layer.leaves(call)
        return await api(call)

    waiting = [asyncio.ensure_future(bench.layer(asks(row), paused)) for row in range(3, 9)]
    await asyncio.sleep(400)
    held.set()
    await asyncio.gather(*waiting)
    assert api.writes == 2, "six would be, if all left when the pool goes on"
    assert api.times == dict.fromkeys(range(9), 1)


@virtual
async def test_attempts_that_fail_keep_no_entry_alive():
    down = [False]
    api = CachingApi(befalls=lambda call, number: rate_limited() if down[0] else None)
    bench = Bench()
    stack = bench.around(api)
    await all_of(stack, [asks(row) for row in range(3)])
    down[0] = True
    for row in range(4):
        await asyncio.sleep(100)
        await all_of(stack, [asks(row)])
    down[0] = False
    await all_of(stack, [asks(row) for row in range(5, 10)])
    assert api.writes == 2


@virtual
async def test_a_cache_that_is_never_read_costs_two_writes_and_a_notice():
    api, bench = CachingApi(works="never read"), Bench()
    calls = [asks(row, "AB"[row % 2]) for row in range(100)]
    await all_of(bench.around(api), calls)
    assert api.writes == 2 * 2
    assert [marks(body) for body in api.bodies] == [1] * 4 + [0] * 96
    (notice,) = [event for event in bench.events if isinstance(event, Notice)]
    assert notice.id == "W110"
    assert "row-2" in notice.text


@virtual
async def test_beginnings_of_a_model_that_is_never_read_are_not_tried_for_ever():
    api, bench = CachingApi(works="never read"), Bench()
    stack = bench.around(api)
    for number in range(20):
        await all_of(stack, [asks(10 * number + row, f"{number}") for row in range(10)])
    assert api.writes == 2 * 3


@virtual
async def test_the_notice_names_the_cause_where_the_api_does():
    async def answer(call: Call) -> Reply:
        reply = await CachingApi(works="never read")(call)
        cause = b'{"diagnostics":{"cache_miss_reason":{"type":"tools_changed"}},'
        return Reply(
            cause + reply.message[1:], reply.model, reply.text, reply.stop_reason, reply.usage
        )

    bench = Bench()
    await all_of(bench.around(answer), [asks(row) for row in range(4)])
    (notice,) = [event for event in bench.events if isinstance(event, Notice)]
    assert "(the tools differ)" in notice.text


@virtual
async def test_where_nothing_is_cached_nobody_waits_for_long():
    api, bench = CachingApi(works="ignored"), Bench()
    await all_of(bench.around(api), [asks(row) for row in range(50)])
    assert [at for at, _ in api.came] == [0.0, 1.0] + [2.0] * 48
    assert [marks(body) for body in api.bodies] == [1] * 50
    assert bench.events == []


@virtual
async def test_a_head_without_counts_tells_nothing():
    async def silent(call: Call) -> Reply:
        if call.watch is not None:
            call.watch.read(PromptTokens(0))
        return await api(call)

    api, bench = CachingApi(streams=False), Bench()
    await all_of(bench.around(silent), [asks(row) for row in range(6)])
    assert [at for at, _ in api.came] == [0.0, 10.0] + [20.0] * 4
    assert api.writes == 1


@virtual
async def test_a_model_that_tells_of_no_cache_has_nobody_wait_after_three_beginnings():
    api, bench = CachingApi(works="ignored"), Bench()
    stack = bench.around(api)
    for number in range(3):
        await all_of(stack, [asks(row, f"{number}") for row in range(5)])
    began, before = now(), len(api.came)
    await all_of(stack, [asks(row, "new") for row in range(5)])
    assert {at - began for at, _ in api.came[before:]} == {0.0}
    api.works = "always"
    await all_of(stack, [asks(row, "newer") for row in range(5)])
    written = api.writes
    await all_of(stack, [asks(row, "newest") for row in range(5)])
    assert api.writes == written + 1, "it tells of one now"


@virtual
async def test_an_entry_that_is_gone_early_is_led_again_as_often_as_it_is_read_in_between():
    api, bench = CachingApi(), Bench()
    stack = bench.around(api)
    await all_of(stack, [asks(row) for row in range(10)])
    for times in range(1, 4):
        api.forget()
        await all_of(stack, [asks(10)])
        await all_of(stack, [asks(row) for row in range(11, 40)])
        assert api.writes == 1 + times
    assert bench.events == []


@virtual
async def test_a_beginning_that_is_seldom_read_is_given_up():
    api, bench = CachingApi(), Bench()
    stack = bench.around(api)
    await all_of(stack, [asks(row) for row in range(2)])
    for row in range(2, 30):
        api.forget()
        await all_of(stack, [asks(row)])
    assert api.writes == 1 + 3 + 1 + 1, "three for each read, and one because it was read"
    assert marks(api.bodies[-1]) == 0


@virtual
async def test_a_shorter_beginning_that_all_share_is_written_once_too():
    def call(row: int) -> Call:
        system = [block("Rules. " * 1000, MARK)]
        return asks(row, "ABCD"[row % 4], system=system)

    api, bench = CachingApi(), Bench()
    await all_of(bench.around(api), [call(row) for row in range(40)])
    rules = min(usage.written for usage in api.usages if usage.written)
    assert sum(usage.written for usage in api.usages) < 5 * rules + rules
    assert api.writes == 4
    assert max(at for at, _ in api.came) == 4.0


@virtual
async def test_what_will_be_read_is_not_expected_of_the_limit_of_input():
    sizes: dict[int, int] = {}
    api = CachingApi()

    async def look(call: Call) -> Reply:
        sizes[call.row] = call.size.input_tokens
        return await api(call)

    stack = Bench().around(look)
    await all_of(stack, [asks(row) for row in range(4)])
    assert sizes[0] == sizes[1] == 4000, "it may have to be written"
    assert sizes[2] == sizes[3] == pytest.approx(4000 * 10 / 3476, abs=10)
    await all_of(stack, [asks(row, "B") for row in range(4, 8)])
    assert [sizes[row] < 20 for row in range(4, 8)] == [False, True, True, True], (
        "the cache of this model is read: so will be what was written just now"
    )


@virtual
async def test_a_million_rows_leave_a_bounded_number_of_beginnings(monkeypatch):
    monkeypatch.setattr("claudebatch.layers.prompt_caching.cache_turns._MOST_KEPT", 20)
    api, bench = CachingApi(latency_s=1, head_s=0.5), Bench()
    stack = bench.around(api)
    for number in range(100):
        await all_of(stack, [asks(row, f"{number}") for row in range(3)])
    assert len(bench.layer._turns) <= 20
    assert api.writes == 100


def test_tokens_of_a_prompt_are_told_apart():
    tokens = PromptTokens(1, 20, 300)
    assert (tokens.limited, tokens.total) == (21, 321)
