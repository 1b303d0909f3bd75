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
        "an MT-bench row",
        {"question_id": 81, "category": "w", "turns": ["Name a tree.", "And?"]},
        {"messages": ASKED},
    ),
    (
        "a whole batch on one line",
        {"requests": [{"custom_id": "a", "params": {"max_tokens": 7, "messages": ASKED}}]},
        {"max_tokens": 7, "messages": ASKED},
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
