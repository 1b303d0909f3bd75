"""A line made for another tool is called by its name, and the filter that is said makes
a line for claudebatch of it, with nothing lost in silence.
"""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from claudebatch.core.errors import BadRow
from claudebatch.inputs import Defaults, parse_line
from claudebatch.inputs.foreign_shapes import FOREIGN_SHAPES

DEFAULTS = Defaults(max_tokens=100)
ASKED = [{"role": "user", "content": "Name a tree."}]
TALKED = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Yes?"},
    {"role": "user", "content": "Why?"},
]
TEXT = [{"type": "text", "text": "Name a tree."}]
NO_RECIPE = [
    ("a result", {"id": "a", "status": "succeeded", "requested_model": "m", "text": "Oak."}),
    ("a result", {"custom_id": "a", "result": {"type": "succeeded", "message": {}}}),
    ("a result", {"custom_id": "a", "response": {"status_code": 200, "body": {}}}),
    (
        "a request for embeddings",
        {"custom_id": "a", "url": "/v1/embeddings", "body": {"input": "x"}},
    ),
]
# (words of the reason, the line, its parameters after the filter)
CONVERTED = [
    (
        "an Alpaca row",
        {"instruction": "Name three herbs.", "input": "", "output": "Mint."},
        {"messages": [{"role": "user", "content": "Name three herbs."}]},
    ),
    (
        "an Alpaca row",
        {"instruction": "In French:", "input": "it's", "output": "c'est"},
        {"messages": [{"role": "user", "content": "In French:\n\nit's"}]},
    ),
    ("an Alpaca row", {"instruction": "Name a tree.", "output": "Oak."}, {"messages": ASKED}),
    (
        "a ShareGPT row",
        {
            "id": "a",
            "conversations": [
                {"from": "system", "value": "Be brief."},
                {"from": "human", "value": "Hi"},
                {"from": "gpt", "value": "Yes?"},
                {"from": "human", "value": "Why?"},
                {"from": "gpt", "value": "Because."},
            ],
        },
        {"system": "Be brief.", "messages": TALKED},
    ),
    ("a ShareGPT row", {"conversations": TALKED}, {"messages": TALKED}),
    (
        "an MT-bench row",
        {"question_id": 81, "category": "w", "turns": ["Name a tree.", "And?"]},
        {"messages": ASKED},
    ),
    (
        "a Gemini request",
        {"key": "a", "request": {"contents": [{"parts": [{"text": "Name a tree."}]}]}},
        {"messages": ASKED},
    ),
    (
        "a Gemini request",
        {
            "contents": [
                {"role": "user", "parts": [{"text": "Hi"}]},
                {"role": "model", "parts": [{"text": "Yes?"}]},
                {"role": "user", "parts": [{"text": "Wh"}, {"text": "y?"}]},
            ],
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "generationConfig": {"maxOutputTokens": 7},
        },
        {"system": "Be brief.", "max_tokens": 7, "messages": TALKED},
    ),
    (
        "a Bedrock batch line",
        {
            "recordId": "a",
            "modelInput": {
                "anthropic_version": "bedrock-2023-05-31",
                "max_tokens": 7,
                "messages": ASKED,
            },
        },
        {"max_tokens": 7, "messages": ASKED},
    ),
    (
        "a Bedrock Converse request",
        {
            "modelId": "anthropic.claude-x",
            "system": [{"text": "Be brief."}],
            "inferenceConfig": {"maxTokens": 7},
            "messages": [{"role": "user", "content": [{"text": "Name a tree."}]}],
        },
        {
            "system": [{"type": "text", "text": "Be brief."}],
            "max_tokens": 7,
            "messages": [{"role": "user", "content": TEXT}],
        },
    ),
    (
        "a Vertex batch line",
        {
            "custom_id": "a",
            "request": {
                "anthropic_version": "vertex-2023-10-16",
                "max_tokens": 7,
                "messages": ASKED,
            },
        },
        {"max_tokens": 7, "messages": ASKED},
    ),
    (
        "a whole batch on one line",
        {"requests": [{"custom_id": "a", "params": {"max_tokens": 7, "messages": ASKED}}]},
        {"max_tokens": 7, "messages": ASKED},
    ),
    (
        "a request of OpenAI's Responses API",
        {
            "custom_id": "a",
            "method": "POST",
            "url": "/v1/responses",
            "body": {"input": "Name a tree.", "instructions": "Be brief.", "max_output_tokens": 7},
        },
        {"system": "Be brief.", "max_tokens": 7, "messages": ASKED},
    ),
    (
        "a request of OpenAI's Responses API",
        {
            "input": [
                {"role": "developer", "content": "Be brief."},
                {"role": "user", "content": [{"type": "input_text", "text": "Name a tree."}]},
            ],
            "max_output_tokens": 7,
        },
        {
            "system": "Be brief.",
            "max_tokens": 7,
            "messages": [{"role": "user", "content": TEXT}],
        },
    ),
    (
        "a request for OpenAI's completions",
        {
            "custom_id": "a",
            "url": "/v1/completions",
            "body": {"prompt": "Name a tree.", "max_tokens": 7},
        },
        {"max_tokens": 7, "messages": ASKED},
    ),
    (
        "a LangChain conversation",
        {
            "messages": [
                {"role": "human", "content": "Hi"},
                {"role": "ai", "content": "Yes?"},
                {"type": "human", "content": "Why?"},
            ]
        },
        {"messages": TALKED},
    ),
    (
        "a conversation saved from OpenAI's API",
        {
            "messages": [
                {"role": "user", "content": "Hi", "name": None},
                {"role": "assistant", "content": "Yes?", "refusal": None, "annotations": []},
                {"role": "user", "content": "Why?"},
            ]
        },
        {"messages": TALKED},
    ),
    ("one message", ASKED[0], {"messages": ASKED}),
    (
        "a request of the old text completions",
        {
            "prompt": "\n\nHuman: Name a tree.\n\nAssistant:",
            "max_tokens_to_sample": 7,
        },
        {"max_tokens": 7, "messages": ASKED},
    ),
]


def problem_of(line):
    with pytest.raises(BadRow) as caught:
        parse_line(json.dumps(line).encode(), DEFAULTS, file="f", line=1)
    (problem,) = caught.value.problems
    return problem


def filtered(recipe: str, line) -> subprocess.CompletedProcess[bytes]:
    if shutil.which("jq") is None:
        pytest.skip("jq is not at hand")
    return subprocess.run(
        ["/bin/sh", "-c", recipe],
        input=json.dumps(line).encode(),
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_every_row_of_the_table_has_a_case_and_the_reverse():
    tried = {words for words, *_ in [*NO_RECIPE, *CONVERTED]}
    assert len(tried) == len(FOREIGN_SHAPES)
    for shape in FOREIGN_SHAPES:
        assert any(shape.name.startswith(words) for words in tried), shape.name
        assert (shape.recipe is None) == any(shape.name.startswith(w) for w, _ in NO_RECIPE)


@pytest.mark.parametrize(("words", "line"), NO_RECIPE)
def test_a_line_that_no_filter_mends_is_named(words, line):
    problem = problem_of(line)
    assert problem.reason.startswith(f"this is {words}")
    assert problem.recipe is None


@pytest.mark.parametrize(("words", "line", "meant"), CONVERTED)
def test_a_line_of_another_tool_is_named_and_its_filter_keeps_what_was_asked(words, line, meant):
    problem = problem_of(line)
    assert problem.reason.startswith(f"this is {words}")
    assert problem.recipe
    done = filtered(problem.recipe, line)
    assert done.returncode == 0, done.stderr
    (made,) = done.stdout.splitlines()
    assert parse_line(made, Defaults(max_tokens=100), file="f", line=1).params == {
        "max_tokens": 100,
        **meant,
    }


PICTURES = [
    {"contents": [{"parts": [{"text": "What?"}, {"inlineData": {"data": "aGk="}}]}]},
    {"input": [{"role": "user", "content": [{"type": "input_image"}]}], "instructions": "x"},
    {"modelId": "m", "messages": [{"role": "user", "content": [{"image": {}}]}]},
]


@pytest.mark.parametrize("line", PICTURES)
def test_a_filter_stops_at_a_picture_instead_of_leaving_it_out(line):
    recipe = problem_of(line).recipe
    assert recipe
    done = filtered(recipe, line)
    assert done.returncode != 0
    assert b"a part is not text" in done.stderr


@pytest.mark.parametrize(
    "line",
    [
        {"prompt": "x", "instruction": "y"},
        {"messages": ASKED, "turns": 3},
        {"prompt": "x", "status": "new"},
        {"prompt": "x", "contents": "y"},
    ],
)
def test_a_line_of_ours_with_a_column_of_that_name_is_a_row(line):
    prompt = parse_line(json.dumps(line).encode(), DEFAULTS, file="f", line=1)
    assert json.loads(prompt.columns) == dict([list(line.items())[1]])
