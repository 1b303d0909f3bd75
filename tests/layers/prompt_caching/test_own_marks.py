"""The marks that requests have already: what they group, and requests without them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from claudebatch.core.domain import Call
from claudebatch.core.jsonl import decode
from claudebatch.layers.prompt_caching.leading_blocks import Block, blocks, plain_text
from claudebatch.layers.prompt_caching.own_marks import place, without_marks
from claudebatch.layers.prompt_caching.prewarm import prewarm
from tests.layers.prompt_caching.rows import HOUR, MARK, asks, block
from tests.layers.prompt_caching.test_set_marks import call_of, placing
from tests.support.scripted import make_call


def asked(*contents: Any, **params: Any) -> Call:
    return make_call(messages=[{"role": "user", "content": list(contents)}], **params)


def test_what_changes_the_cache_tells_beginnings_apart():
    alike = place(asks(1)).beginning
    assert place(asks(2)).beginning == alike
    for change in (
        {"thinking": {"type": "adaptive"}},
        {"tool_choice": {"type": "auto"}},
        {"output_config": {"effort": "low"}},
        {"speed": "fast"},
    ):
        assert place(asks(1, **change)).beginning != alike, change
    call = asks(1)
    other = replace(call, prompt=replace(call.prompt, betas=("context-1",)))
    assert place(other).beginning != alike


IMAGE = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
CITED = {
    "type": "document",
    "source": {"type": "text", "media_type": "text/plain", "data": "a"},
    "citations": {"enabled": True},
}


def test_an_image_after_the_mark_has_messages_read_anew_but_not_the_system_prompt():
    rules = {"system": [block("Rules", MARK)]}
    plain = place(asked(block("A", MARK), block("q"), **rules)).chain
    shown = place(asked(block("A", MARK), IMAGE, **rules)).chain
    assert shown[0] == plain[0]
    assert shown[1] != plain[1]
    held = {"type": "tool_result", "tool_use_id": "t", "content": [IMAGE]}
    assert place(asked(block("A", MARK), held, **rules)).chain == shown


def test_citations_after_the_mark_have_all_of_it_read_anew():
    rules = {"system": [block("Rules", MARK)]}
    plain = place(asked(block("A", MARK), block("q"), **rules)).chain
    cited = place(asked(block("A", MARK), CITED, **rules)).chain
    assert not set(cited) & set(plain)


def test_what_the_result_of_a_tool_holds_may_be_marked():
    def result(*marks: Any) -> Call:
        held = [block(text, mark) for text, mark in zip("AB", marks, strict=True)]
        return asked({"type": "tool_result", "tool_use_id": "t", "content": held}, block("q"))

    placed = place(result(None, HOUR))
    assert placed.ttl_s == 3600
    assert placed.beginning is not None
    assert place(result(MARK, None)).beginning == placed.beginning, "marks are no part of it"
    assert without_marks(result(MARK, HOUR)).body == result(None, None).body
    assert without_marks(result(None, HOUR), keep=1).body == result(None, HOUR).body


def test_a_text_alone_is_the_block_that_it_becomes():
    as_text, as_list = (
        place(asked(block("A", MARK), block("q"), system=system)).beginning
        for system in ("Rules", [block("Rules")])
    )
    assert as_text == as_list


def test_the_mark_of_the_request_as_a_whole_stands_for_its_last_block():
    call = asked(block("A"), block("B"), cache_control=HOUR)
    assert place(call).ttl_s == 3600
    assert b"cache_control" not in without_marks(call).body
    both = asked(block("A", MARK), block("B", MARK), cache_control=MARK)
    assert len(place(both).chain) == 2
    kept = decode(without_marks(both, keep=1).body)
    assert str(kept).count("cache_control") == 1
    assert "cache_control" not in kept
    assert without_marks(both, keep=2).body == both.body


def test_a_block_s_own_time_counts_before_that_of_the_request_as_a_whole():
    assert place(asked(block("A", MARK), cache_control=HOUR)).ttl_s == 300


@pytest.mark.parametrize(
    ("value", "role", "markable"),
    [
        ({"type": "text", "text": ""}, "user", False),
        ({"type": "text", "text": "a"}, "user", True),
        ("", "user", False),
        ({"type": "thinking", "thinking": "a"}, "assistant", False),
        ({"name": "t"}, "tools", True),
        ({"name": "t", "defer_loading": True}, "tools", False),
        ("t", "tools", False),
    ],
)
def test_where_the_api_takes_a_mark(value, role, markable):
    assert bool(Block(role, value, {}, "x").markable) is markable


def test_a_text_with_more_to_it_is_no_plain_text():
    assert plain_text(block("a", MARK)) == "a"
    assert plain_text({**block("a"), "citations": []}) is None
    with_more = {**block("a"), "citations": []}
    assert [one.value for one in blocks({"system": [with_more]})] == [with_more]


def test_batches_take_no_requests_without_output():
    call = call_of({"system": "rules " * 200, "messages": [{"role": "user", "content": "q"}]})
    assert placing(call, marked=[0], rows=30)(call).rows == 30
    in_batch = placing(call, marked=[0], rows=30, in_batch=True)(call)
    assert in_batch.beginning is not None
    assert in_batch.rows == 0


def test_a_request_without_output_counts_no_tries():
    call = replace(asks(1), tries=object())  # type: ignore[arg-type]
    ahead = prewarm(call, 255, requests=2)
    assert ahead is not None
    assert ahead.tries is None
