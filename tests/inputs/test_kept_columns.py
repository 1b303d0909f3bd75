"""Fields beside the prompt: kept as they are written, unless they are meant as
something that the API knows.
"""

from __future__ import annotations

import json

import pytest

from claudebatch.core.errors import BadRow
from claudebatch.inputs import Defaults, attachment, parse_line

USER = [{"role": "user", "content": "Hi"}]
SHAPES = [
    {"prompt": "Hi"},
    {"text": "Hi"},
    {"messages": USER},
    {"custom_id": "a", "params": {"messages": USER, "max_tokens": 9}},
    {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": USER}},
]


def parsed(line: object, extra="keep"):
    data = line if isinstance(line, bytes) else json.dumps(line).encode()
    return parse_line(data, Defaults(max_tokens=100, extra=extra), file="f", line=1)


def reasons(line: object, extra="keep") -> list[str]:
    with pytest.raises(BadRow) as caught:
        parsed(line, extra)
    return [problem.reason for problem in caught.value.problems]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: next(reversed(shape)))
def test_fields_beside_the_prompt_are_kept_and_change_nothing_else(shape):
    plain = parsed(shape)
    prompt = parsed({"lang": "de", **shape, "stars": 5})
    assert json.loads(prompt.columns) == {"lang": "de", "stars": 5}
    assert (prompt.params, prompt.digest, prompt.id) == (plain.params, plain.digest, plain.id)
    assert parsed({"lang": "de", **shape}, "ignore").columns == b""
    (said,) = reasons({"lang": "de", **shape}, "refuse")
    assert said.startswith('unknown field "lang"')


def test_a_kept_value_is_as_it_is_written():
    line = b'{"price": 1.50, "num": 12345678901234567890, "prompt": "Hi", "o" : { "a": [1, 2 ] }}'
    assert parsed(line).columns == b'{"price":1.50,"num":12345678901234567890,"o":{"a":[1,2]}}'


def test_metadata_for_rules_comes_back_and_the_user_alone_does_not():
    assert parsed({"prompt": "Hi", "metadata": {"plan": "gold"}}).columns == (
        b'{"metadata":{"plan":"gold"}}'
    )
    assert parsed({"prompt": "Hi", "metadata": {"user_id": "u"}}).columns == b""


@pytest.mark.parametrize(
    "name",
    ["max_token", "mesages", "Model", "temperature", "top_k", "mcp_servers", "tag s", "sytem"],
)
@pytest.mark.parametrize("shape", SHAPES[:3], ids=lambda shape: next(reversed(shape)))
def test_what_is_meant_as_a_parameter_is_still_refused(shape, name):
    assert reasons({**shape, name: "x"})


@pytest.mark.parametrize("shape", SHAPES[3:], ids=lambda shape: next(reversed(shape)))
@pytest.mark.parametrize("name", ["max_tokens", "model", "system", "messages"])
def test_a_parameter_beside_a_batch_line_is_refused(shape, name):
    assert reasons({**shape, name: "x"})


def test_inside_a_batch_line_nothing_unknown_is_kept():
    line = {"params": {"messages": USER, "max_tokens": 9, "lang": "de"}}
    assert 'unknown field "lang"' in reasons(line)[0]


@pytest.mark.parametrize(
    ("line", "attached"),
    [
        ({"prompt": "Hi", "image": "a"}, "image"),
        ({"prompt": "Hi", "photo": "photos/a.JPG"}, "photo"),
        ({"prompt": "Hi", "source": "https://example.com/x/report.pdf"}, "source"),
        ({"prompt": "Hi", "photo": "see report.pdf"}, None),
        ({"prompt": "Hi", "lang": "de"}, None),
    ],
)
def test_a_column_that_looks_like_a_file_to_be_sent_is_noticed(line, attached):
    assert attachment(parsed(line).columns) == attached


@pytest.mark.parametrize(("written", "number"), [("7", True), ("1.50", True), ('"7"', False)])
def test_an_id_that_is_a_number_is_known_as_one(written, number):
    prompt = parsed(b'{"id": %b, "prompt": "Hi", "x": 1}' % written.encode())
    assert (prompt.id, prompt.has_number_id) == (written.strip('"'), number)
