"""Marks change nothing of a request but where the API may read it again."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from claudebatch.core.domain import Call
from claudebatch.core.jsonl import decode, encode
from claudebatch.layers.prompt_caching import own_marks
from claudebatch.layers.prompt_caching.chains import Link, SharedBeginning
from claudebatch.layers.prompt_caching.leading_blocks import Beginnings, blocks
from claudebatch.layers.prompt_caching.mark_plan import MarkPlan, Spacing
from claudebatch.layers.prompt_caching.set_marks import Placing
from claudebatch.models.api_rules import broken_rules
from tests.support.scripted import make_call

MODEL = "claude-sonnet-5-5"


def call_of(params: dict[str, Any], *, answers: int = 1) -> Call:
    call = make_call(model=MODEL, **params)
    return replace(call, prompt=replace(call.prompt, answers=answers))


def placing(
    call: Call, *, marked: list[int], hours: int = 0, rows: int = 3, **options: Any
) -> Placing:
    """A `Place` whose plan has the beginnings of *call* that end with these blocks,
    shared by so many *rows*; the last *hours* of them are kept for an hour.
    """
    params = call.prompt.params
    found = blocks(params)
    digests = list(Beginnings().of(call.route.model, call.prompt.betas, params, found, len(found)))
    far = set(marked[len(marked) - hours :]) if hours else set()
    plan = MarkPlan()
    plan.fill(
        [
            SharedBeginning(Link(digests[one], 600), 0, rows, 0, 0, 2_000 if one in far else 2)
            for one in marked
        ],
        Spacing(row_s=1.0),
    )
    return Placing(plan, own_marks.place, first_params=lambda one: one.prompt.params, **options)


def ttls(call: Call) -> list[str | None]:
    """The marks of *call*'s body, by block."""
    return [
        one.value["cache_control"].get("ttl", "5m")
        if isinstance(one.value, dict) and one.value.get("cache_control")
        else None
        for one in blocks(decode(call.body))
    ]


def as_blocks(body: bytes) -> Any:
    """*body* without marks, every text as a block of its own."""
    bare = copy.deepcopy(decode(body))
    for one in blocks(bare):
        block = {"type": "text", "text": one.value} if isinstance(one.value, str) else one.value
        block = {name: value for name, value in block.items() if name != "cache_control"}
        one.holder[one.index] = [block] if isinstance(one.value, str) else block
    return bare


ROW: dict[str, Any] = {
    "system": "Rules",
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": t} for t in ("doc", "question")]}
    ],
}

_TEXT = st.text("abc", min_size=1, max_size=4)
_BLOCK = st.one_of(
    st.builds(lambda t: {"type": "text", "text": t}, _TEXT),
    st.builds(lambda t: {"type": "thinking", "thinking": t, "signature": "s"}, _TEXT),
    st.just({"type": "image", "source": {"type": "url", "url": "https://example.com"}}),
    st.builds(lambda t: {"type": "tool_result", "tool_use_id": "i", "content": t}, _TEXT),
)
_CONTENT = st.one_of(_TEXT, st.lists(_BLOCK, min_size=1, max_size=4))
_PARAMS = st.fixed_dictionaries(
    {
        "messages": st.lists(
            st.builds(
                lambda role, content: {"role": role, "content": content},
                st.sampled_from(["user", "assistant"]),
                _CONTENT,
            ),
            min_size=1,
            max_size=5,
        )
    },
    optional={
        "system": st.one_of(
            _TEXT, st.lists(st.builds(lambda t: {"type": "text", "text": t}, _TEXT))
        ),
        "tools": st.lists(
            st.builds(
                lambda t, late: {"name": t, "input_schema": {"type": "object"}, **late},
                _TEXT,
                st.sampled_from([{}, {"defer_loading": True}]),
            ),
            max_size=3,
        ),
    },
)


def test_a_row_that_says_it_has_no_mark_gets_those_of_the_plan():
    none = copy.deepcopy(ROW)
    none["messages"][0]["content"][0]["cache_control"] = None
    call = call_of({**none, "tools": [{"name": "t", "cache_control": None}]})
    assert ttls(placing(call, marked=[1, 2])(call).call) == [None, "5m", "5m", None]
    own = call_of({**ROW, "cache_control": {"type": "ephemeral"}})
    assert placing(own, marked=[0, 1])(own).call is own


@settings(max_examples=300, deadline=None)
@given(_PARAMS, st.sets(st.integers(0, 20)), st.integers(0, 3), st.sampled_from([1, 3]))
def test_a_placed_request_differs_in_its_marks_alone(params, wanted, hours, answers):
    call = call_of(params, answers=answers)
    count = len(blocks(params))
    marked = sorted(number for number in wanted if number < count)
    placed = placing(call, marked=marked, hours=min(hours, len(marked)))(call).call
    assert as_blocks(placed.body) == as_blocks(call.body)
    found = ttls(placed)
    assert sum(one is not None for one in found) <= 4
    if answers == 1:
        # What comes last is the row's own.
        assert found[-1] is None
    for number, one in enumerate(blocks(call.prompt.params)):
        assert found[number] is None or (number in marked and one.markable)
    rules = [problem.id for problem in broken_rules(decode(placed.body))]
    assert not {"E401", "E402", "E403"} & set(rules)
    assert replace(placed, body=b"") == replace(call, body=b"")
    # Placed once more it is the same, and asks for the same beginning.
    again = placing(call, marked=marked, hours=min(hours, len(marked)))(placed)
    assert again.call.body == placed.body


def test_the_last_shared_block_is_marked_and_what_varies_is_not():
    call = call_of(ROW)
    placed = placing(call, marked=[0, 1])(call)
    assert ttls(placed.call) == ["5m", "5m", None]
    assert placed.beginning is not None
    assert len(placed.shorter) == 1
    assert decode(placed.call.body)["system"] == [
        {"type": "text", "text": "Rules", "cache_control": {"type": "ephemeral"}}
    ]


def test_rows_that_share_a_beginning_have_its_digest():
    first, second = call_of(ROW), call_of({**ROW, "system": "Rules"})
    place = placing(first, marked=[1])
    question = [{"type": "text", "text": t} for t in ("doc", "another question")]
    third = call_of({**ROW, "messages": [{"role": "user", "content": question}]})
    assert place(first).beginning == place(second).beginning == place(third).beginning
    other = call_of({**ROW, "system": "Other rules"})
    assert place(other).beginning is None


def test_an_hour_comes_before_five_minutes():
    call = call_of(ROW)
    assert ttls(placing(call, marked=[0, 1], hours=1)(call).call) == ["1h", "1h", None]


def test_marks_of_a_batch_are_for_an_hour_and_for_what_many_rows_share():
    call = call_of(ROW)
    for rows, mark in ((19, None), (20, "1h")):
        place = placing(call, marked=[0, 1], rows=rows, in_batch=True)
        assert ttls(place(call).call) == [mark, mark, None]


def test_of_more_than_four_the_first_and_the_last_ones_are_marked():
    content = [{"type": "text", "text": str(n)} for n in range(8)]
    call = call_of({"messages": [{"role": "user", "content": content}]})
    found = ttls(placing(call, marked=[0, 1, 2, 4, 5, 6])(call).call)
    assert [n for n, one in enumerate(found) if one] == [0, 4, 5, 6]


def test_marks_of_the_rows_own_stay_and_get_no_others():
    mark = {"type": "ephemeral"}
    content = [
        {"type": "text", "text": "doc", "cache_control": mark},
        {"type": "text", "text": "q"},
    ]
    call = call_of({"system": "Rules", "messages": [{"role": "user", "content": content}]})
    placed = placing(call, marked=[0])(call)
    assert placed == own_marks.place(call)
    assert placed.call is call


def test_a_row_of_several_answers_shares_all_of_its_request_with_itself():
    call = call_of({"messages": [{"role": "user", "content": "question"}]}, answers=3)
    assert ttls(placing(call, marked=[0])(call).call) == ["5m"]


def test_a_request_that_asks_again_or_goes_to_another_model_is_marked_as_the_first_one():
    call = call_of(ROW)
    place = placing(call, marked=[0, 1])
    longer = decode(call.body)
    longer["messages"] += [{"role": "assistant", "content": "no"}, {"role": "user", "content": "?"}]
    assert ttls(place(replace(call, body=encode(longer))).call) == ["5m", "5m", None, None, None]
    hop = replace(call, model="claude-haiku-5-5")
    assert ttls(place(hop).call) == ["5m", "5m", None]
    # What is left of it may be too little.
    short = encode({"model": MODEL, "max_tokens": 9, "messages": []})
    assert place(replace(call, body=short)).call.body == short


def test_the_order_of_a_schema_stays():
    schema = b'{"properties":{"z":{"type":"string"},"a":{"type":"string"}},"type":"object"}'
    call = call_of(ROW)
    body = call.body.replace(b"{", b'{"output_config":{"format":{"schema":' + schema + b"}},", 1)
    placed = placing(call, marked=[0])(replace(call, body=body)).call
    assert schema in placed.body


def test_a_block_that_takes_no_mark_leaves_the_others_theirs():
    thought = {"type": "thinking", "thinking": "t", "signature": "s"}
    turns = [{"role": "assistant", "content": [thought]}, *ROW["messages"]]
    call = call_of({**ROW, "messages": turns})
    assert ttls(placing(call, marked=[0, 1])(call).call) == ["5m", None, None, None]
