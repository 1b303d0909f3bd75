"""ResponseCache: no answer is paid for twice, and none is given for another
question.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudebatch.core.domain import Call, Reply
from claudebatch.core.errors import AttemptError, Draining
from claudebatch.core.jsonl import decode, encode
from claudebatch.core.message import parse_message
from claudebatch.layers.response_cache.layer import ResponseCache, cache_key
from claudebatch.layers.response_cache.settings import CachePolicy
from tests.support.scripted import (
    HAIKU,
    MemoryCache,
    ScriptedClient,
    bad_request,
    make_call,
    make_reply,
)
from tests.support.virtual import cancelled, now, settled, virtual

FIELDS: dict[str, Any] = {
    "max_tokens": 7,
    "messages": [{"role": "user", "content": "another"}],
    "system": "be brief",
    "tools": [{"name": "t", "input_schema": {"type": "object"}}],
    "tool_choice": {"type": "any"},
    "thinking": {"type": "disabled"},
    "output_config": {"effort": "low"},
    "stop_sequences": ["x"],
    "container": "c",
    "mcp_servers": [{"name": "m"}],
    "context_management": {"edits": []},
    "inference_geo": "us",
    "speed": "fast",
    "cache_control": {"type": "ephemeral"},
    "some_field_of_next_year": 1,
}


def key(call: Call, scope: str = "2026-10-21") -> str:
    return cache_key(call, scope=scope, encode=encode, decode=decode)


def parse(kept: bytes) -> Reply:
    return parse_message(kept, source="cache", attempts=0)


def layer(store: MemoryCache | None = None, *, share: bool = True, **policy: bool) -> ResponseCache:
    return ResponseCache(
        key=key, store=store, parse=parse, policy=CachePolicy(**policy), share=share
    )


# The key


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_that_changes_the_answer_is_in_the_key(name: str):
    assert key(make_call(**{name: FIELDS[name]})) != key(make_call())


def test_the_beta_headers_are_in_the_key_whatever_their_order():
    call = make_call()
    one, two, none = (
        replace(call, prompt=replace(call.prompt, betas=betas))
        for betas in (("a-1", "b-1"), ("b-1", "a-1"), ())
    )
    assert key(one) == key(two) != key(none) == key(call)


def test_the_model_and_the_api_version_are_in_the_key():
    assert key(make_call(model="claude-opus-5-5")) != key(make_call(model=HAIKU))
    assert key(make_call(), "2026-10-21") != key(make_call(), "2023-06-01")


@pytest.mark.parametrize("model", [HAIKU, "claude-opus-5-5"])
@pytest.mark.parametrize(
    "params",
    [
        {"metadata": {"user_id": "u"}},
        {"service_tier": "auto"},
        {"stream": False},
        {"metadata": {}, "stream": False},
    ],
    ids=str,
)
def test_who_asks_and_how_fast_is_not_in_the_key(model: str, params: dict[str, Any]):
    assert key(make_call(model=model, **params)) == key(make_call(model=model))
    assert key(make_call("x", model=model, **params)) != key(make_call(model=model))


def test_row_route_and_deadline_are_not_in_the_key():
    assert key(make_call(row=1)) == key(
        make_call(row=2, fallbacks=("claude-opus-5-5",), deadline_s=1)
    )


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(*[st.dictionaries(st.sampled_from([*FIELDS, "metadata"]), _JSON, max_size=4)] * 2)
def test_different_requests_have_different_keys_and_equal_ones_equal_keys(one, other):
    assert key(make_call(**one)) == key(make_call(**dict(reversed(one.items()))))
    equal = encode({**one, "metadata": 0}) == encode({**other, "metadata": 0})
    assert (key(make_call(**one)) == key(make_call(**other))) is equal


@pytest.mark.parametrize(
    "params", [{}, {"metadata": {"user_id": "u"}}], ids=["plain", "with metadata"]
)
def test_the_key_is_that_of_what_is_sent_even_where_a_hop_said_it_differently(
    params: dict[str, Any],
):
    call = make_call(thinking={"type": "enabled", "budget_tokens": 2000}, **params)
    said = make_call(thinking={"type": "adaptive"}, **params)
    assert key(replace(call, body=said.body)) == key(said) != key(call)


def test_parts_of_the_key_cannot_run_into_each_other():
    assert key(make_call("2"), "v\n1") != key(make_call("2"), "v")


# Looking up and keeping


@virtual
async def test_an_answer_is_kept_and_answers_the_next_equal_call():
    store, client = MemoryCache(), ScriptedClient()
    cache = layer(store)
    first = await cache(make_call(row=1), client)
    second = await cache(make_call(row=2), client)
    assert len(client.sent) == 1
    assert (first.source, first.attempts) == ("api", 1)
    assert (second.source, second.cost, second.attempts, second.attempt_id) == ("cache", 0, 0, None)
    assert (second.message, second.usage) == (first.message, first.usage)


@pytest.mark.parametrize(
    ("stop_reason", "policy", "kept"),
    [
        ("end_turn", {}, True),
        ("stop_sequence", {}, True),
        ("tool_use", {}, True),
        ("max_tokens", {}, False),
        ("max_tokens", {"keep_max_tokens": True}, True),
        ("model_context_window_exceeded", {}, False),
        ("pause_turn", {}, False),
        ("refusal", {}, False),
        ("refusal", {"keep_max_tokens": True}, False),
        ("refusal", {"keep_refusals": True}, True),
    ],
)
@virtual
async def test_what_is_no_full_answer_is_only_kept_on_request(stop_reason, policy, kept):
    store = MemoryCache()
    reply = make_reply(stop_reason=stop_reason)
    assert await layer(store, **policy)(make_call(), ScriptedClient([reply])) is reply
    assert bool(store.kept) is kept


@virtual
async def test_a_simulated_answer_is_never_kept():
    store = MemoryCache()
    cache = layer(store, keep_max_tokens=True, keep_refusals=True)
    await cache(make_call(), ScriptedClient([make_reply(simulated=True)]))
    assert store.kept == {}


@virtual
async def test_an_error_is_never_kept():
    store, client = MemoryCache(), ScriptedClient([bad_request()])
    with pytest.raises(AttemptError):
        await layer(store)(make_call(), client)
    assert store.kept == {}
    assert (await layer(store)(make_call(), client)).source == "api"


@pytest.mark.parametrize(
    "kept", [b"", b"null", b"{}", b"<html>", b'{"type":"error","error":{}}', b"\xff"], ids=repr
)
@virtual
async def test_a_kept_value_that_is_no_message_is_a_miss(kept: bytes):
    store, client = MemoryCache(), ScriptedClient()
    store.kept[key(make_call())] = kept
    reply = await layer(store)(make_call(), client)
    assert reply.source == "api"
    assert store.kept[key(make_call())] == reply.message


@virtual
async def test_without_a_store_nothing_is_kept_and_without_sharing_nothing_is_shared():
    client = ScriptedClient(takes_s=1)
    plain = layer(None, share=False)
    await asyncio.gather(*(plain(make_call(row=row), client) for row in range(5)))
    assert len(client.sent) == 5


# Equal calls in flight


@virtual
async def test_fifty_equal_calls_in_flight_are_one_call_below():
    store, client = MemoryCache(takes_s=0.1), ScriptedClient(takes_s=1)
    cache = layer(store)
    calls = [*(make_call(row=row) for row in range(50)), make_call("another", row=50)]
    replies = await asyncio.gather(*(cache(call, client) for call in calls))
    assert len(client.sent) == 2
    assert [reply.source for reply in replies] == ["api", *["duplicate"] * 49, "api"]
    assert {reply.cost for reply in replies[1:50]} == {0}
    assert len({reply.message for reply in replies[:50]}) == 1
    assert now() == pytest.approx(1.1)


@virtual
async def test_an_error_is_shared_and_the_next_call_asks_again():
    client = ScriptedClient([bad_request(), None], takes_s=1)
    cache = layer(MemoryCache())
    results = await asyncio.gather(
        *(cache(make_call(row=row), client) for row in range(9)), return_exceptions=True
    )
    assert len(client.sent) == 1
    assert all(isinstance(result, AttemptError) for result in results)
    assert (await cache(make_call(), client)).source == "api"


@pytest.mark.parametrize("before_s", [0.05, 0.5], ids=["while looking up", "while asking"])
@virtual
async def test_when_the_leader_is_called_off_one_follower_leads(before_s: float):
    client = ScriptedClient(takes_s=1)
    cache = layer(MemoryCache(takes_s=0.1))
    leader, *followers = [
        asyncio.ensure_future(cache(make_call(row=row), client)) for row in range(10)
    ]
    await asyncio.sleep(before_s)
    assert await cancelled(leader)
    replies = await asyncio.gather(*followers)
    assert sorted(reply.source for reply in replies) == ["api", *["duplicate"] * 8]
    assert len(client.sent) == 1 + (before_s > 0.1)


@virtual
async def test_when_the_leader_drains_its_followers_do_not_fail_with_it():
    client = ScriptedClient([Draining("stop"), None], takes_s=1)
    cache = layer(MemoryCache())
    results = await asyncio.gather(
        *(cache(make_call(row=row), client) for row in range(3)), return_exceptions=True
    )
    assert isinstance(results[0], Draining)
    assert [result.source for result in results[1:]] == ["api", "duplicate"]


@virtual
async def test_a_follower_that_is_called_off_leaves_the_others_alone():
    client = ScriptedClient(takes_s=1)
    cache = layer(MemoryCache())
    tasks = [asyncio.ensure_future(cache(make_call(row=row), client)) for row in range(3)]
    await asyncio.sleep(0.5)
    assert await cancelled(tasks[1])
    assert [(await tasks[0]).source, (await tasks[2]).source] == ["api", "duplicate"]
    assert len(client.sent) == 1


@virtual
async def test_when_all_are_called_off_at_once_none_goes_on():
    client = ScriptedClient(takes_s=1)
    cache = layer(MemoryCache())
    tasks = [asyncio.ensure_future(cache(make_call(row=row), client)) for row in range(5)]
    await asyncio.sleep(0.5)
    for task in tasks:
        task.cancel()
    await settled()
    assert all(task.cancelled() for task in tasks)
    assert len(client.sent) == 1
