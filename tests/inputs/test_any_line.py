"""Whatever a line holds, it is a prompt that can be sent exactly, or a bad row: nothing
else may come out.
"""

import itertools
import json
import random
from importlib import import_module

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claudebatch.core.domain import Prompt
from claudebatch.core.errors import BadRow, Problem
from claudebatch.core.jsonl import decode, encode
from claudebatch.inputs import BadLines, Defaults, parse_line, shapes
from claudebatch.inputs.fields import CHECKS, REFUSED
from claudebatch.inputs.messages import BLOCKS
from claudebatch.inputs.openai_body import TRANSLATED, WITHOUT_EQUAL
from claudebatch.ui.error_text import BAD_ROWS_SHOWN, render_bad_rows

JSON_MODE = Defaults(max_tokens=1000, system="S")
TEXT_MODE = Defaults(max_tokens=1000, text=True)


def outcome(data: bytes, defaults: Defaults = JSON_MODE) -> Prompt | None:
    try:
        prompt = parse_line(data, defaults, file="f", line=1)
    except BadRow as bad:
        assert bad.problems
        found = BadLines()
        found.add("f", 1, bad.problems)
        told = [line for line in render_bad_rows(found) if not line.startswith("    ")]
        shown = min(len(dict.fromkeys(bad.problems)), BAD_ROWS_SHOWN)
        assert all(line.startswith("f:1: ") for line in told[:shown])
        return None
    assert prompt.id
    assert len(prompt.digest) == 32
    assert "model" not in prompt.params
    assert prompt.params["max_tokens"] > 0
    assert decode(encode(prompt.params)) == prompt.params
    assert all(isinstance(value, str) for value in prompt.attributes.values())
    return prompt


WORDS = [*CHECKS, *REFUSED, *TRANSLATED, *WITHOUT_EQUAL, *BLOCKS]
WORDS += [
    "prompt",
    "input",
    "text",
    "question",
    "messages",
    "params",
    "body",
    "id",
    "custom_id",
    "tags",
    "url",
    "method",
]
WORDS += [
    "role",
    "content",
    "type",
    "user",
    "assistant",
    "system",
    "tool",
    "developer",
    "function",
    "name",
    "tool_calls",
]
WORDS += [
    "image_url",
    "file",
    "file_data",
    "data:image/png;base64,aGk=",
    "https://x",
    "auto",
    "json_schema",
    "schema",
]
WORDS += [
    "/v1/chat/completions",
    "POST",
    "arguments",
    "{}",
    "claude-haiku-5-5",
    "enabled",
    "budget_tokens",
    "effort",
]
TEXTS = st.sampled_from(WORDS) | st.text(max_size=20)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
)
ANY = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=25,
)
BLOCK = st.fixed_dictionaries(
    {"type": TEXTS}, optional={"text": TEXTS, "image_url": ANY, "file": ANY, "citations": ANY}
)
MESSAGE = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "assistant", "system", "tool", "developer"]),
        "content": TEXTS | st.lists(BLOCK),
    },
    optional={"tool_calls": st.lists(ANY, max_size=2), "tool_call_id": TEXTS},
)
PARAMETERS = st.fixed_dictionaries(
    {"messages": st.lists(MESSAGE, max_size=4)},
    optional=dict.fromkeys({*CHECKS, *TRANSLATED, *WITHOUT_EQUAL} - {"messages"}, ANY),
)
LINES = (
    ANY
    | PARAMETERS
    | PARAMETERS.map(lambda p: {"params": p})
    | PARAMETERS.map(lambda p: {"body": p, "id": 1})
)


@settings(deadline=None, max_examples=40)
@given(LINES)
def test_any_json_value_is_a_prompt_or_a_bad_row(value):
    outcome(json.dumps(value).encode())


def read(data: bytes) -> Prompt | tuple[Problem, ...]:
    try:
        return parse_line(data, JSON_MODE, file="f", line=1)
    except BadRow as bad:
        return bad.problems


ODD = [
    "",
    " ",
    "\u2028",
    "x",
    "x" * 512,
    "x" * 513,
    None,
    0,
    1,
    -1,
    1.0,
    True,
    10**6,
    10**6 + 1,
    2**70,
    [],
    {},
    ["x"],
]
PLAIN = ["prompt", "id", "max_tokens", "custom_id", "text", "model"]


def test_the_short_way_for_plain_lines_says_what_the_long_way_says(monkeypatch):
    pairs = itertools.product(itertools.combinations(PLAIN, 2), itertools.product(ODD, repeat=2))
    lines = [
        json.dumps({"prompt": "Hi", **dict(zip(*pair, strict=True))}).encode() for pair in pairs
    ]
    short = [read(line) for line in lines]
    for module in (shapes, import_module("claudebatch.inputs.parse_line")):
        monkeypatch.setattr(module, "plain_request", lambda value: None)
    for line, said in zip(lines, short, strict=True):
        assert read(line) == said


def invented(rng: random.Random, depth: int = 0):
    """A JSON value made of the words that lines are made of."""
    kind = rng.random() + (depth - 3) / 4
    if kind < 0.35:
        return {rng.choice(WORDS): invented(rng, depth + 1) for _ in range(rng.randint(0, 5))}
    if kind < 0.6:
        return [invented(rng, depth + 1) for _ in range(rng.randint(0, 3))]
    return rng.choice([None, True, False, 0, 1, -1, 2**64, 1.5, "", "x", rng.choice(WORDS)])


def test_any_line_made_of_known_words_is_a_prompt_or_a_bad_row():
    rng = random.Random(20261122)
    for _ in range(4000):
        parameters = {rng.choice(WORDS): invented(rng) for _ in range(rng.randint(0, 6))}
        parameters["messages"] = (
            [{"role": "user", "content": "Hi"}] if rng.random() < 0.7 else invented(rng)
        )
        for line in (
            parameters,
            {"params": parameters},
            {"body": parameters, "tags": invented(rng, 3)},
        ):
            outcome(json.dumps(line).encode())


@settings(deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_are_a_prompt_or_a_bad_row(data):
    outcome(data)
    outcome(b'{"prompt": "' + data + b'"}')
    outcome(data, TEXT_MODE)


SEED = (
    b'{"id": 1.5, "body": {"messages": [{"role": "user", "content": [{"type": "text", "text": '
    b'"\\ud83d\\ude00"}]}], '
    b'"stop": ["x"], "max_tokens": 10, "tools": [{"type": "function", "function": {"name": '
    b'"f"}}]}, "tags": ["a"]}'
)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(SEED) - 1), st.integers(0, 255)), min_size=1, max_size=6)
)
def test_a_damaged_line_is_a_prompt_or_a_bad_row(changes):
    data = bytearray(SEED)
    for place, byte in changes:
        data[place] = byte
    outcome(bytes(data))


REFUSED_LINES = {
    "NaN": b'{"prompt": "x", "metadata": {"a": NaN}}',
    "too large a float": b'{"prompt": "x", "metadata": {"a": 1e999}}',
    "a lone surrogate": b'{"prompt": "\\ud800"}',
    "a surrogate in UTF-8": b'{"prompt": "\xed\xa0\x80"}',
    "a lone surrogate as a key": b'{"prompt": "x", "\\udc00": 1}',
    "5,000 digits": b'{"prompt": "x", "metadata": {"a": ' + b"9" * 5000 + b"}}",
    "5,000 digits as an id": b'{"prompt": "x", "id": ' + b"9" * 5000 + b"}",
    "depth": b'{"prompt": "x", "tools": ' + b"[" * 100_000,
    "closed depth": b'{"prompt": "x", "tools": ' + b"[" * 900 + b"]" * 900 + b"}",
    "bad UTF-8": b'{"prompt": "\xff"}',
    "a raw NUL": b'{"prompt": "\x00"}',
    "leading NULs": b'\x00\x00{"prompt": "x"}',
    "an empty line": b"",
}


@pytest.mark.parametrize("name", REFUSED_LINES)
def test_a_line_that_could_not_be_sent_exactly_is_a_bad_row(name):
    assert outcome(REFUSED_LINES[name]) is None


EXACT = {
    "a\u2028b\u2029\x85": "a\u2028b\u2029\x85",
    "\\u0000": "\x00",
    "\\ud83d\\ude00": "😀",
    "\u202e": "\u202e",
}


@pytest.mark.parametrize("text", EXACT)
def test_an_odd_character_is_kept_exactly(text):
    prompt = outcome(f'{{"prompt": "{text}"}}'.encode())
    assert prompt is not None
    assert prompt.params["messages"][0]["content"] == EXACT[text]


def test_big_integers_are_kept_exactly():
    schema = b'{"type":"object","default":18446744073709551616123}'
    prompt = outcome(b'{"prompt": "x", "tools": [{"name": "t", "input_schema": ' + schema + b"}]}")
    assert prompt is not None
    assert (
        encode(prompt.params["tools"][0]["input_schema"])
        == b'{"default":18446744073709551616123,"type":"object"}'
    )


def test_of_a_key_given_twice_the_last_one_counts():
    prompt = outcome(b'{"prompt": "first", "id": 1, "id": 2.0, "prompt": "last"}')
    assert prompt is not None
    assert (prompt.id, prompt.params["messages"][0]["content"]) == ("2.0", "last")
