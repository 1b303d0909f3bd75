"""Equal prompts, in any order and at once: paid for once, answered each, and never with
another prompt's answer.

The long form: MIX_ROWS=1000000 pytest tests/layers/test_duplicate_mix.py
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from typing import Any

import pytest

from claudebatch.core.domain import Call, Reply
from claudebatch.core.errors import AttemptError
from claudebatch.core.jsonl import decode, encode
from claudebatch.core.message import parse_message
from claudebatch.layers.response_cache.layer import NOT_IN_KEY, ResponseCache, cache_key
from claudebatch.layers.response_cache.settings import CachePolicy
from tests.support.scripted import HAIKU, OPUS, MemoryCache, make_call, make_reply, overloaded
from tests.support.sdk_types import KNOWN
from tests.support.virtual import virtual

ROWS = int(os.environ.get("MIX_ROWS", "6000"))
WORKERS = 64


def key(call: Call) -> str:
    return cache_key(call, scope="2026-10-21", encode=encode, decode=decode)


@pytest.mark.parametrize("name", sorted(KNOWN - NOT_IN_KEY - {"model", "max_tokens", "messages"}))
def test_every_field_that_the_sdk_knows_is_in_the_key(name: str):
    plain, one, other = make_call(), make_call(**{name: "one"}), make_call(**{name: "other"})
    assert len({key(plain), key(one), key(other)}) == 3


def test_what_is_left_out_of_the_key_is_known_and_changes_no_answer():
    assert sorted(NOT_IN_KEY) == ["metadata", "service_tier", "stream"]
    assert not NOT_IN_KEY - KNOWN


def question(number: int) -> tuple[str, str, dict[str, Any]]:
    """Prompts that differ in text, in model only, or in one parameter only."""
    text, model = f"question {number // 4}", (HAIKU, OPUS)[number % 2]
    return text, model, {"system": "be brief"} if number % 4 > 1 else {}


def answer_to(call: Call) -> str:
    return f"to {call.model} {call.body.decode()}"


@virtual
async def test_a_mix_of_equal_prompts_is_paid_once_each_and_everybody_gets_the_answer_to_its_own():
    rng = random.Random(7)
    # A few are asked very often and many once, as in a real file.
    wanted = [min(int(rng.paretovariate(0.3)), ROWS) for _ in range(ROWS)]
    failing = {f"question {n}" for n in range(ROWS) if rng.random() < 0.02}

    async def client(call: Call) -> Reply:
        await asyncio.sleep(1.0)
        if call.prompt.params["messages"][0]["content"] in failing and rng.random() < 0.5:
            raise overloaded()
        return make_reply(answer_to(call), model=call.model)

    store = MemoryCache(takes_s=0.1)
    layer = ResponseCache(
        key=key,
        store=store,
        parse=lambda kept: parse_message(kept, source="cache"),
        policy=CachePolicy(),
    )
    paid: Counter[str] = Counter()
    rows = iter(enumerate(wanted))
    sources: Counter[str] = Counter()

    async def worker() -> None:
        for row, number in rows:
            text, model, more = question(number)
            call = make_call(text, model=model, row=row, **more)
            try:
                reply = await layer(call, client)
            except AttemptError:
                sources["failed"] += 1
                continue
            assert reply.text == answer_to(call)
            sources[reply.source] += 1
            paid[key(call)] += reply.source == "api"

    await asyncio.gather(*(worker() for _ in range(WORKERS)))
    different = {
        key(make_call(text, model=model, **more))
        for text, model, more in map(question, set(wanted))
    }
    assert set(paid.values()) <= {0, 1}
    assert sum(paid.values()) == sources["api"] == len(store.kept) <= len(different)
    assert sources.total() == ROWS
    assert min(sources["cache"], sources["duplicate"], sources["failed"]) > 0
