"""The simulator's notes: exact money, duplicates, counts."""

from __future__ import annotations

from decimal import Decimal

from claudebatch.simulator.stats import ANSWERED_KEPT, SECONDS_KEPT, Stats


async def test_the_bill_is_the_sum_of_what_every_answer_says_it_used(serve, body):
    served = await serve()
    usages = [(await served.ask(body(f"row {n}"))).json["usage"] for n in range(50)]
    inputs, outputs = (
        sum(u["input_tokens"] for u in usages),
        sum(u["output_tokens"] for u in usages),
    )
    stats = (await served.call("GET", "/__stats")).json
    assert stats["billed_pico"] == 7 * inputs + 11 * outputs
    assert Decimal(stats["billed_usd"]) == Decimal(stats["billed_pico"]) / 10**12
    assert "E" not in stats["billed_usd"], "a fraction of a cent is written out"
    assert (stats["tokens"]["input_tokens"], stats["tokens"]["output_tokens"]) == (inputs, outputs)
    assert (stats["requests"], stats["by_model"]) == (50, {"claude-haiku-5-5": 50})
    assert stats["billed_undelivered_pico"] == stats["duplicates"] == stats["in_flight"] == 0


async def test_a_question_that_was_answered_before_is_a_duplicate_however_it_is_written(
    serve, body
):
    served = await serve(script=("529",))
    first = body()
    again = dict(reversed(list(first.items())))
    for asked in (first, first, again, {**first, "stream": True}, body("other")):
        await served.ask(asked)
    assert served.simulator.stats()["duplicates"] == 2


async def test_a_reset_starts_the_notes_anew(serve, body):
    served = await serve()
    await served.ask(body())
    assert (await served.call("POST", "/__reset")).json["requests"] == 0
    await served.ask(body())
    stats = served.simulator.stats()
    assert (stats["requests"], stats["duplicates"]) == (1, 0)


async def test_tests_see_each_decoded_body(serve, body):
    served = await serve(script=("529",))
    seen = []
    served.simulator.on_request = seen.append
    await served.ask(body("first"))
    await served.ask(body("second", temperature=1))
    assert [s["messages"][0]["content"] for s in seen] == ["first", "second"]


async def test_requests_are_counted_by_second(serve, body):
    served = await serve()
    for step in (0, 0, 1, 5):
        served.now.seconds += step
        await served.ask(body())
    assert served.simulator.stats()["per_second"] == {"0": 2, "1": 1, "6": 1}


def test_the_notes_do_not_grow_without_bound():
    stats = Stats(0.0)
    for number in range(ANSWERED_KEPT + 10):
        stats.delivered(number.to_bytes(8, "big"), 0)
    for second in range(SECONDS_KEPT + 10):
        stats.arrived(float(second))
    assert len(stats._answered) == ANSWERED_KEPT
    assert len(stats.snapshot()["per_second"]) == SECONDS_KEPT
