"""What is asked to be changed in every line is changed in each shape, and counted."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from claudebatch.core.errors import BadRow
from claudebatch.inputs import Defaults, LineEdits, parse_line

USER = [{"role": "user", "content": "Hi"}]
EDITS = LineEdits(
    model_map={"gpt-4o-mini": "claude-haiku-5-5"}, drop=frozenset({"temperature", "seed"})
)
DEFAULTS = Defaults(max_tokens=100, edits=EDITS)
PARAMS = {"model": "gpt-4o-mini", "temperature": 0, "seed": 1, "messages": USER}
SHAPES = {
    "flat": PARAMS,
    "Anthropic batch": {"custom_id": "a", "params": PARAMS},
    "OpenAI batch": {"custom_id": "a", "url": "/v1/chat/completions", "body": PARAMS},
    "both places": {"seed": 2, "params": PARAMS},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_fields_are_left_out_and_models_read_as_others_in_every_shape(shape):
    data, made = json.dumps(SHAPES[shape]).encode(), Counter()
    prompt = parse_line(data, DEFAULTS, file="f", line=1, edited=made)
    assert prompt.model == "claude-haiku-5-5"
    assert prompt.params == {"max_tokens": 100, "messages": USER}
    assert made == {"temperature": 1, "seed": 1, "model=gpt-4o-mini": 1}
    with pytest.raises(BadRow):
        parse_line(data, Defaults(max_tokens=100), file="f", line=1)


def test_a_line_without_any_of_it_is_as_it_was():
    made = Counter()
    for line in ({"prompt": "Hi", "model": "claude-opus-5-5"}, {"prompt": "Hi"}, "Hi", USER):
        data = json.dumps(line).encode()
        edited = parse_line(data, DEFAULTS, file="f", line=1, edited=made)
        assert edited == parse_line(data, Defaults(max_tokens=100), file="f", line=1)
    assert not made


def test_what_stands_deeper_is_content_and_not_touched():
    tools = [{"name": "t", "input_schema": {"type": "object", "seed": 1}}]
    data = json.dumps({"prompt": "Hi", "tools": tools}).encode()
    assert parse_line(data, DEFAULTS, file="f", line=1).params["tools"] == tools


def test_a_column_and_a_plain_field_can_be_left_out_too():
    edits = LineEdits(drop=frozenset({"answer", "max_tokens", "model"}))
    data = b'{"question": "Why?", "answer": "So.", "max_tokens": 5, "model": "gpt-4o"}'
    prompt = parse_line(data, Defaults(max_tokens=100, edits=edits), file="f", line=1)
    assert (prompt.params["max_tokens"], prompt.model) == (100, None)


def test_the_changes_are_told_with_their_numbers_and_so_is_what_never_came():
    made = Counter({"temperature": 1200, "model=gpt-4o-mini": 1})
    assert [notice.text for notice in EDITS.told(made)] == [
        "left out of the rows (--drop): temperature (1,200 rows)",
        "--drop: no row has seed",
        "gpt-4o-mini is read as claude-haiku-5-5 in 1 row (--model-map)",
    ]
    assert list(EDITS.told(Counter()))[-1].text == "--model-map: no row names gpt-4o-mini"
    assert list(LineEdits().told(Counter())) == []
    assert not LineEdits()
