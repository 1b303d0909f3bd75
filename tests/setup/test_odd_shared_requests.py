"""Rows as odd as the API takes them: marks of their own anywhere, tools, images,
documents, empty texts, prompts as texts and as lists. From the check to the request
that leaves, nothing changes but marks, and the API takes all of them.
"""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from claudebatch.core.domain import Call, Prompt
from claudebatch.core.jsonl import decode, encode
from claudebatch.layers.prompt_caching import own_marks
from claudebatch.layers.prompt_caching.chains import ChainRows, shared_beginnings
from claudebatch.layers.prompt_caching.leading_blocks import blocks
from claudebatch.layers.prompt_caching.mark_plan import MarkPlan, Spacing
from claudebatch.layers.prompt_caching.placed import PlacedCall
from claudebatch.layers.prompt_caching.prewarm import prewarm
from claudebatch.layers.prompt_caching.set_marks import Placing
from claudebatch.models.catalog import Catalog
from claudebatch.setup.shared_beginnings import SharedBeginnings
from claudebatch.simulator.promptcache import PromptCache
from claudebatch.simulator.traits import MODELS
from tests.support.scripted import make_call

CATALOG = Catalog.load()
OPUS = "claude-opus-5-5"
LONG = "The committee met and decided. " * 60
"""660 tokens: two of them are above the minimum of all models but one."""
PIXEL = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
MINUTES, HOUR = {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}

words = st.sampled_from(["", "x", LONG, LONG, LONG * 2, "é" + LONG, " "])
marks = st.sampled_from([None] * 6 + [MINUTES, HOUR])


def marked(block: dict[str, Any], mark: Any) -> dict[str, Any]:
    return block if mark is None else {**block, "cache_control": mark}


texts = st.builds(lambda text, mark: marked({"type": "text", "text": text}, mark), words, marks)
others = st.builds(
    marked,
    st.sampled_from(
        [
            {"type": "image", "source": PIXEL},
            {"type": "document", "source": {"type": "text", "data": LONG}},
            {
                "type": "document",
                "source": {"type": "text", "data": LONG},
                "citations": {"enabled": True},
            },
            {"type": "tool_result", "tool_use_id": "t", "content": LONG},
            {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image"}]},
            {"type": "thinking", "thinking": "hm", "signature": "s"},
        ]
    ),
    marks,
)
contents = words | st.lists(texts | others, max_size=3)
tools = st.lists(
    st.builds(
        lambda name, text, mark, late: marked(
            {"name": name, "description": text, "input_schema": {}} | late, mark
        ),
        st.sampled_from("abc"),
        words,
        marks,
        st.sampled_from([{}, {}, {"defer_loading": True}]),
    ),
    max_size=2,
)
requests = st.fixed_dictionaries(
    {
        "messages": st.lists(
            st.builds(
                lambda role, content: {"role": role, "content": content},
                st.sampled_from(["user", "assistant"]),
                contents,
            ),
            min_size=1,
            max_size=7,
        )
    },
    optional={
        "system": words | st.lists(texts, max_size=3),
        "tools": tools,
        "cache_control": marks,
        "tool_choice": st.sampled_from([{"type": "auto"}, {"type": "any"}]),
        "thinking": st.sampled_from([{"type": "adaptive"}, {"type": "enabled"}]),
    },
)


@st.composite
def rows_of(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Some requests, and others that share a part of them and end otherwise."""
    found = []
    for params in draw(st.lists(requests, min_size=1, max_size=2)):
        # Else hardly a row would be without marks of its own.
        first = params if draw(st.integers(0, 4)) == 0 else bare_params(params)
        for number in range(draw(st.integers(1, 8))):
            copied = copy.deepcopy(first)
            kept = draw(st.integers(0, len(copied["messages"])))
            copied["messages"][kept:] = [{"role": "user", "content": f"question {number}"}]
            found.append(copied)
    return draw(st.permutations(found))


def bare_params(params: dict[str, Any]) -> dict[str, Any]:
    """*params* without marks; texts stay texts."""
    found = copy.deepcopy(params)
    found.pop("cache_control", None)
    for one in blocks(found):
        if isinstance(one.value, dict):
            one.value.pop("cache_control", None)
    return found


def sent(rows: list[dict[str, Any]], model: str, row_s: float) -> list[PlacedCall]:
    """The requests of *rows* as they leave."""
    finder = SharedBeginnings(CATALOG, "auto")
    calls = [make_call(model=model, row=number, **params) for number, params in enumerate(rows)]
    chains = [
        finder.chain(Prompt("x", params), model, params, len(encode(params))) for params in rows
    ]
    groups = [
        ChainRows(
            chain,
            chains.count(chain),
            chains.index(chain),
            len(rows) - 1 - chains[::-1].index(chain),
        )
        for chain in sorted(set(chains))
    ]
    plan = MarkPlan()
    plan.fill(shared_beginnings(groups), Spacing(row_s))
    place = Placing(plan, own_marks.place, first_params=lambda call: call.prompt.params)
    return [place(call) for call in calls]


def bare(body: bytes) -> Any:
    """*body* without marks, each plain text as a block."""
    found = decode(body)
    found.pop("cache_control", None)
    for one in blocks(found):
        block = {"type": "text", "text": one.value} if isinstance(one.value, str) else one.value
        block = {name: value for name, value in block.items() if name != "cache_control"}
        one.holder[one.index] = [block] if isinstance(one.value, str) else block
    return found


def mark_of(block: Any) -> Any:
    return block.value.get("cache_control") if isinstance(block.value, dict) else None


def check(call: Call, before: Call) -> None:
    assert bare(call.body) == bare(before.body), "nothing differs but the marks"
    if own_marks.place(before).beginning is not None:
        assert call.body == before.body, "rows keep their own marks, and get no other"
        return
    found = [(one, mark) for one in blocks(decode(call.body)) if (mark := mark_of(one))]
    assert len(found) <= 4
    for one, _ in found:
        assert one.value.get("text") != "", "the API takes none on an empty text"
        assert one.value.get("type") != "thinking"
        assert not one.value.get("defer_loading")
    ttls = [mark.get("ttl", "5m") for _, mark in found]
    assert ttls == sorted(ttls), "an hour before five minutes"
    PromptCache().use(decode(call.body), MODELS[call.model], 0.0)


@settings(max_examples=150, deadline=None)
@given(
    rows=rows_of(),
    model=st.sampled_from([OPUS, "claude-haiku-4-5", "claude-opus-4-7"]),
    row_s=st.sampled_from([0.0, 100.0, 150.0]),
)
def test_odd_requests_leave_as_they_are_but_for_marks(rows, model, row_s):
    placed = sent(rows, model, row_s)
    for number, (one, params) in enumerate(zip(placed, rows, strict=True)):
        before = make_call(model=model, row=number, **params)
        check(one.call, before)
        if one.rows:
            ahead = prewarm(one.call, 255, requests=2)
            if ahead is not None:
                assert decode(ahead.body) == {**decode(one.call.body), "max_tokens": 0}
                assert ahead.prewarms
