"""Unfit answers are asked again, with the sentence, and no more often than allowed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from claudebatch.core.answer_form import UnfitAnswers
from claudebatch.core.domain import Call, Reply
from claudebatch.core.errors import CircuitOpen
from claudebatch.core.events import Event, Retrying
from claudebatch.core.jsonl import decode
from claudebatch.core.message import parse_message
from claudebatch.core.tries import RowTries
from claudebatch.layers.structured_answers.answer_reading import read_answer
from claudebatch.layers.structured_answers.follow_up import follow_up
from claudebatch.layers.structured_answers.layer import StructuredAnswers
from tests.setup.claims import MOOD
from tests.support.parts import make_bench
from tests.support.scripted import make_reply
from tests.support.virtual import virtual

GOOD, BAD = '{"mood": "good"}', '{"mood": "so so"}'
NO_FORMS = {"claude-haiku-5-5": {"structured": False}}


class Asked:
    """The handler below: answers with its texts, one after the other."""

    def __init__(self, *answers: Reply | Exception) -> None:
        self.answers = list(answers)
        self.bodies: list[dict[str, Any]] = []

    async def __call__(self, call: Call) -> Reply:
        """The next answer."""
        self.bodies.append(decode(call.body))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def layer_of(
    *, retries: int = 2, earlier: UnfitAnswers | None = None, **config: Any
) -> tuple[StructuredAnswers, Any, list[Event]]:
    bench, events = make_bench(**config), []

    async def before(call: Call) -> UnfitAnswers | None:
        return earlier

    def again(call: Call, unfit: UnfitAnswers) -> Call:
        params = follow_up(call.prompt.params, unfit.last, unfit.fault)
        return bench.run_setup.builder.instead(call, params)

    layer = StructuredAnswers(
        read=read_answer, again=again, retries=retries, earlier=before, emit=events.append
    )
    return layer, bench, events


def tool_reply(value: object) -> Reply:
    call = {"type": "tool_use", "id": "toolu_1", "name": "structured_answer", "input": value}
    message = {
        **decode(make_reply("").message),
        "content": [{"type": "thinking", "thinking": "", "signature": "x"}, call],
        "stop_reason": "tool_use",
    }
    return parse_message(json.dumps(message).encode())


@virtual
async def test_the_sentence_goes_back_as_a_further_turn_and_the_costs_are_added():
    layer, bench, events = layer_of()
    asked = Asked(make_reply(BAD, cost=5), make_reply("no json", cost=7), make_reply(GOOD, cost=9))
    reply = await layer(bench.call("How?", output_config=MOOD), asked)
    assert (reply.text, reply.fits, reply.cost, reply.attempts) == (GOOD, True, 21, 3)
    first, second, third = (body["messages"] for body in asked.bodies)
    assert first == [{"role": "user", "content": "How?"}]
    assert second[:2] == [*first, {"role": "assistant", "content": BAD}]
    assert 'mood: "so so" is not one of "good" or "bad"' in second[2]["content"]
    # Only the last answer: the conversation does not grow with each try.
    assert third[:2] == [*first, {"role": "assistant", "content": "no json"}]
    assert [event.error for event in events if isinstance(event, Retrying)] == [
        "invalid_answer"
    ] * 2


@pytest.mark.parametrize("retries", [0, 1, 3])
@virtual
async def test_it_is_asked_again_so_often_and_no_more(retries: int):
    layer, bench, _ = layer_of(retries=retries)
    asked = Asked(*(make_reply(BAD, cost=1) for _ in range(9)))
    reply = await layer(bench.call(output_config=MOOD), asked)
    assert (reply.fits, reply.cost, len(asked.bodies)) == (False, retries + 1, retries + 1)


@pytest.mark.parametrize("stop_reason", ["refusal", "max_tokens"])
@virtual
async def test_refused_and_cut_off_answers_are_not_asked_again(stop_reason: str):
    layer, bench, _ = layer_of()
    asked = Asked(make_reply('{"mood": "go', stop_reason=stop_reason))
    reply = await layer(bench.call(output_config=MOOD), asked)
    assert (reply.stop_reason, len(asked.bodies)) == (stop_reason, 1)


@virtual
async def test_an_empty_answer_is_asked_again_without_an_empty_turn():
    layer, bench, _ = layer_of()
    asked = Asked(make_reply("  "), make_reply(GOOD))
    await layer(bench.call(output_config=MOOD), asked)
    assert [turn["role"] for turn in asked.bodies[1]["messages"]] == ["user", "user"]


@virtual
async def test_a_model_without_schemas_is_forced_to_call_a_tool():
    layer, bench, _ = layer_of(models=NO_FORMS)
    asked = Asked(tool_reply({"mood": 1}), tool_reply({"mood": "bad"}))
    call = bench.call(output_config={**MOOD, "effort": "low"})
    reply = await layer(call, asked)
    body = asked.bodies[1]
    assert body["tool_choice"] == {"type": "tool", "name": "structured_answer"}
    assert body["tools"][0]["input_schema"] == MOOD["format"]["schema"]
    assert body["output_config"] == {"effort": "low"}
    called, result = body["messages"][1:]
    assert [block["type"] for block in called["content"]] == ["tool_use"]
    assert (result["content"][0]["tool_use_id"], result["content"][0]["is_error"]) == (
        "toolu_1",
        True,
    )
    reading = read_answer(call.prompt, reply)
    assert reading is not None
    assert reading.value == b'{"mood":"bad"}'


@virtual
async def test_answers_of_an_earlier_session_are_not_asked_for_again():
    before = UnfitAnswers(make_reply(BAD).message, "a fault", 1, cost=100)
    layer, bench, _ = layer_of(earlier=before)
    asked = Asked(make_reply(BAD, cost=1), make_reply(BAD, cost=1), make_reply(GOOD))
    reply = await layer(bench.call(output_config=MOOD), asked)
    assert (reply.fits, reply.cost, reply.attempts, len(asked.bodies)) == (False, 102, 3, 2)
    assert "a fault" in asked.bodies[0]["messages"][2]["content"]


@virtual
async def test_a_row_that_waits_for_an_open_breaker_goes_on_where_it_was():
    layer, bench, _ = layer_of()
    shut = CircuitOpen("haiku-5.5", probe_in_s=1, open_for_s=1)
    asked = Asked(make_reply(BAD, cost=5), shut, make_reply(GOOD, cost=5))
    call = bench.call(output_config=MOOD).counted(RowTries())
    with pytest.raises(CircuitOpen):
        await layer(call, asked)
    reply = await layer(call, asked)
    assert (reply.cost, reply.attempts, len(asked.bodies)) == (10, 2, 3)
    assert asked.bodies[1] == asked.bodies[2]


@virtual
async def test_a_row_without_a_schema_is_passed_on_untouched():
    layer, bench, _ = layer_of()
    call, reply = bench.call(), make_reply("anything")

    async def same(passed: Call) -> Reply:
        assert passed is call
        await asyncio.sleep(0)
        return reply

    assert await layer(call, same) is reply
