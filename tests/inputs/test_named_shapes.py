"""Lines of other tools are read as they are: what they ask is sent whole, or the line
is refused with the name of what cannot be carried over.
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress

import pytest

from claudebatch.cli import options
from claudebatch.core.errors import BadRow
from claudebatch.inputs import Defaults, LineEdits, parse_line
from claudebatch.inputs.formats.text_table import TextTable
from claudebatch.inputs.named_shapes import SHAPES, told

ASKED = [{"role": "user", "content": "Name a tree."}]
TALKED = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Yes?"},
    {"role": "user", "content": "Why?"},
]
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
PICTURE = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": PNG},
}
SAVED = {"role": "assistant", "content": "Oak.", "refusal": None, "annotations": []}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a": 1}'}
# (shape, the line, its parameters, the columns that come back)
READ = [
    (
        "alpaca",
        {"instruction": "In French:", "input": "it's", "output": "c'est"},
        {"messages": [{"role": "user", "content": "In French:\n\nit's"}]},
        ["output"],
    ),
    (
        "alpaca",
        {"instruction": "Name a tree.", "input": "", "output": "Oak."},
        {"messages": ASKED},
        ["output"],
    ),
    (
        "sharegpt",
        {
            "id": "a",
            "conversations": [
                {"from": "system", "value": "Be brief."},
                {"from": "human", "value": "Hi"},
                {"from": "gpt", "value": "Yes?"},
                {"from": "human", "value": "Why?"},
                {"from": "gpt", "value": "Because."},
            ],
            "source": "x",
        },
        {"system": "Be brief.", "messages": TALKED},
        ["source", "conversations"],
    ),
    ("sharegpt", {"conversations": TALKED}, {"messages": TALKED}, []),
    (
        "mt-bench",
        {"question_id": 81, "category": "w", "turns": ["Name a tree."]},
        {"messages": ASKED},
        ["category"],
    ),
    (
        "openai-chat",
        {"messages": [{**ASKED[0], "name": None}, SAVED], "kind": "b"},
        {"messages": ASKED},
        ["kind", "messages"],
    ),
    (
        "openai-responses",
        {
            "custom_id": "a",
            "url": "/v1/responses",
            "body": {"input": "Name a tree.", "instructions": "Be brief.", "max_output_tokens": 7},
        },
        {"system": "Be brief.", "max_tokens": 7, "messages": ASKED},
        [],
    ),
    (
        "openai-responses",
        {
            "instructions": "Be brief.",
            "input": [
                {
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": "What?"},
                        {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"},
                    ],
                },
                CALL,
                {"type": "function_call_output", "call_id": "c1", "output": "2"},
            ],
            "reasoning": {"effort": "low"},
            "truncation": "disabled",
            "text": {"format": {"type": "text"}},
            "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
        },
        {
            "system": "Be brief.",
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "What?"}, PICTURE]},
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}],
                },
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "2"}],
                },
            ],
            "output_config": {"effort": "low"},
            "tools": [{"name": "f", "input_schema": {"type": "object"}}],
        },
        [],
    ),
    (
        "gemini",
        {"key": "a", "request": {"contents": [{"parts": [{"text": "Name a tree."}]}]}, "part": 1},
        {"messages": ASKED},
        ["part"],
    ),
    (
        "gemini",
        {
            "contents": [
                {"role": "user", "parts": [{"text": "Hi"}]},
                {"role": "model", "parts": [{"text": "Yes?"}]},
                {
                    "role": "user",
                    "parts": [
                        {"text": "Why?"},
                        {"inlineData": {"mimeType": "image/png", "data": PNG}},
                    ],
                },
            ],
            "system_instruction": {"parts": [{"text": "Be brief."}]},
            "generation_config": {
                "max_output_tokens": 7,
                "stopSequences": ["x"],
                "candidateCount": 1,
            },
        },
        {
            "system": "Be brief.",
            "max_tokens": 7,
            "stop_sequences": ["x"],
            "messages": [
                *TALKED[:2],
                {"role": "user", "content": [{"type": "text", "text": "Why?"}, PICTURE]},
            ],
        },
        [],
    ),
    (
        "bedrock",
        {
            "recordId": "a",
            "modelInput": {
                "anthropic_version": "bedrock-2023-05-31",
                "max_tokens": 7,
                "messages": ASKED,
            },
        },
        {"max_tokens": 7, "messages": ASKED},
        [],
    ),
    (
        "bedrock",
        {
            "modelId": "us.anthropic.claude-haiku-4-5-20251001-v1:0",
            "system": [{"text": "Be brief."}],
            "inferenceConfig": {"maxTokens": 7, "stopSequences": ["x"]},
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"text": "What?"},
                        {"image": {"format": "png", "source": {"bytes": PNG}}},
                    ],
                }
            ],
        },
        {
            "system": [{"type": "text", "text": "Be brief."}],
            "max_tokens": 7,
            "stop_sequences": ["x"],
            "messages": [{"role": "user", "content": [{"type": "text", "text": "What?"}, PICTURE]}],
        },
        [],
    ),
    (
        "vertex",
        {
            "key": "a",
            "request": {
                "anthropic_version": "vertex-2023-10-16",
                "max_tokens": 7,
                "messages": ASKED,
            },
        },
        {"max_tokens": 7, "messages": ASKED},
        [],
    ),
]


def read(line, made: Counter[str] | None = None, **how):
    data = json.dumps(line).encode()
    return parse_line(data, Defaults(max_tokens=100, **how), file="f", line=1, edited=made)


@pytest.mark.parametrize(("shape", "line", "params", "columns"), READ)
def test_a_line_that_can_be_nothing_else_is_read_unasked(shape, line, params, columns):
    made: Counter[str] = Counter()
    prompt = read(line, made)
    assert prompt.params == {"max_tokens": 100, **params}
    assert list(json.loads(prompt.columns or b"{}")) == [n for n in line if n in columns]
    assert {notice.text.split(":")[0] for notice in told(made)} >= {f"1 row is read as {shape}"}
    assert read(line, shape=shape).params == prompt.params
    # The same request in our own shape is the same row.
    own = {name: value for name, value in prompt.params.items() if name != "max_tokens"}
    if prompt.model is None and "max_tokens" not in params:
        assert read(own).digest == prompt.digest


@pytest.mark.parametrize(
    ("line", "id"),
    [
        ({"question_id": 81, "turns": ["x"]}, "81"),
        ({"recordId": "r", "modelInput": {"anthropic_version": "b", "messages": ASKED}}, "r"),
        ({"key": "k", "request": {"contents": [{"parts": [{"text": "x"}]}]}}, "k"),
        ({"id": "s", "conversations": [{"from": "human", "value": "x"}]}, "s"),
        ({"id": 7, "instruction": "x", "output": "y"}, "7"),
    ],
)
def test_its_id_is_kept(line, id):
    assert read(line).id == id


def test_a_model_of_bedrock_is_the_apis_own():
    line = {"modelId": "anthropic.claude-haiku-5-5-v1:0", "messages": [], "inferenceConfig": {}}
    line["messages"] = [{"role": "user", "content": [{"text": "x"}]}]
    assert read(line).model == "claude-haiku-5-5"
    edits = LineEdits(model_map={"anthropic.claude-haiku-5-5-v1:0": "claude-opus-5-5"})
    assert read(line, edits=edits).model == "claude-opus-5-5"


# (shape, the line, words of the refusal)
REFUSED = [
    ("gemini", {"contents": [{"parts": [{"fileData": {"fileUri": "x"}}]}]}, r"parts\[0\]"),
    ("gemini", {"contents": ASKED, "safetySettings": [{"x": 1}]}, '"safetySettings"'),
    (
        "gemini",
        {"contents": [{"parts": [{"text": "x"}]}], "generationConfig": {"temperature": 0}},
        r'"generationConfig\.temperature" \(0\) has no equal',
    ),
    (
        "bedrock",
        {"modelId": "m", "messages": [{"role": "user", "content": [{"video": 1}]}]},
        r'"messages\[0\]\.content\[0\]" is a part with "video"',
    ),
    (
        "bedrock",
        {
            "inferenceConfig": {"topP": 1},
            "messages": [{"role": "user", "content": [{"text": "x"}]}],
        },
        r"inferenceConfig\.topP",
    ),
    ("openai-responses", {"input": "x", "previous_response_id": "r"}, "previous_response_id"),
    (
        "openai-responses",
        {"input": [{"type": "reasoning", "id": "r"}], "instructions": "x"},
        r'"input\[0\]"',
    ),
    (
        "openai-responses",
        {"url": "/v1/responses", "body": {"input": "x", "temperature": 1}},
        '"temperature"',
    ),
    ("sharegpt", {"conversations": [{"from": "function_call", "value": "x"}]}, '"function_call"'),
    ("alpaca", {"instruction": "x", "input": 5}, '"input" is 5'),
    (
        "openai-chat",
        {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
        "audio",
    ),
    ("vertex", {"request": {"messages": ASKED, "temperature": 1}}, '"temperature"'),
]


@pytest.mark.parametrize(("shape", "line", "words"), REFUSED)
def test_what_cannot_be_carried_over_is_refused_by_name(shape, line, words):
    with pytest.raises(BadRow, match=words):
        read(line, shape=shape)


def test_a_setting_that_is_in_the_way_can_be_dropped_wherever_it_stands():
    line = {
        "request": {
            "contents": [{"parts": [{"text": "x"}]}],
            "generationConfig": {"temperature": 0},
            "safetySettings": [1],
        }
    }
    edits = LineEdits(drop=frozenset({"temperature", "safetySettings"}))
    made: Counter[str] = Counter()
    assert read(line, made, edits=edits).params["messages"][0]["content"] == "x"
    assert (made["temperature"], made["safetySettings"]) == (1, 1)


def test_what_is_left_out_on_purpose_is_told_once_with_its_number():
    made: Counter[str] = Counter()
    for number in range(3):
        read({"question_id": number, "turns": ["a", "b"]}, made, shape="mt-bench")
    first, second = told(made)
    assert (first.id, first.text) == (
        "N005",
        "3 rows are read as mt-bench: a prompt: the first turn",
    )
    assert (second.id, second.text) == (
        "W073",
        "3 rows are read without the later turns, each of which needs the answer before it",
    )


def test_several_turns_are_asked_about_first():
    with pytest.raises(BadRow, match="MT-bench") as refused:
        read({"turns": ["a", "b"]})
    assert "--shape mt-bench" in refused.value.problems[0].fix


def test_a_name_holds_for_every_line():
    # Alpaca's own file has the whole prompt in a field of its own.
    line = {"instruction": "Name a tree.", "input": "", "output": "Oak.", "text": "Below is …"}
    prompt = read(line, shape="alpaca")
    assert prompt.params["messages"] == ASKED
    assert list(json.loads(prompt.columns)) == ["output", "text"]
    for other in ({"prompt": "x"}, "x", [1]):
        with pytest.raises(BadRow, match="not of the shape alpaca"):
            read(other, shape="alpaca")


def test_a_table_may_have_a_shape_too():
    form = TextTable(("instruction", "input", "output"), ",")
    for how in ({}, {"shape": "alpaca"}):
        prompt = parse_line(
            b"Name a tree.,,Oak.", Defaults(max_tokens=9, **how), file="f", line=2, form=form
        )
        assert prompt.params["messages"] == ASKED
        assert json.loads(prompt.columns)["output"] == "Oak."


def test_columns_follow_the_wish():
    line = {"instruction": "x", "output": "y"}
    assert read(line, extra="ignore").columns == b""
    with pytest.raises(BadRow, match='unknown field "output"'):
        read(line, extra="refuse")


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_every_shape_can_be_named_and_has_a_case(shape):
    assert shape.name in {name for name, *_ in READ}
    assert shape.name in options.Shape.__args__[0].__args__[0].__args__


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
@pytest.mark.parametrize(
    "odd", [None, 5, [], {}, [5], {"a": 5}, [[]], "x", [{}], [None], {"parts": 5}]
)
def test_no_line_breaks_a_reader(shape, odd):
    names = {
        *("instruction", "input", "conversations", "turns", "messages", "request", "contents"),
        *("modelInput", "body", "generationConfig", "systemInstruction", "tools", "text"),
    }
    for name in names:
        for inner in (
            odd,
            [{"role": odd, "content": odd, "parts": odd, "from": odd, "value": odd}],
        ):
            line = {"instruction": "x", "inferenceConfig": odd, "turns": ["x"], name: inner}
            nested = {"request": {name: inner}, "modelInput": {name: inner}, "body": {name: inner}}
            for fields in (line, {**line, **nested}, {**nested, "url": "/v1/responses"}):
                for how in ({}, {"shape": shape.name}):
                    with suppress(BadRow):
                        read(fields, **how)
