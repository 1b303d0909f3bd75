"""Values and schemas, in the validator's sentences."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from claudebatch.layers.structured_answers.validation import (
    LONGEST_FAULT,
    MOST_FAULTS,
    BadSchema,
    check_schema,
    faults,
)

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "born": {"type": "string", "format": "date"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"name": "Ada", "age": 36, "born": "1815-12-10", "tags": []}, ""),
        ({}, '"name" is a required property'),
        ({"name": "Ada", "age": "36"}, 'age: "36" is not of type "integer"'),
        ({"name": "Ada", "born": "1815"}, 'born: "1815" is not a "date"'),
        ({"name": "Ada", "tags": ["a", 1]}, 'tags[1]: 1 is not of type "string"'),
        ([], '[] is not of type "object"'),
    ],
)
def test_a_value_fits_or_a_sentence_says_why_not(value: object, sentence: str):
    assert faults(PERSON, value) == sentence


def test_a_sentence_is_short_whatever_the_answer_is():
    found = faults(
        {"type": "array", "items": {"type": "integer"}}, ["x" * 10_000 for _ in range(100)]
    )
    assert len(found) <= MOST_FAULTS * (LONGEST_FAULT + 2)


@pytest.mark.parametrize(
    "schema",
    [{"type": "objekt"}, {"pattern": "("}, {"$ref": "#/nowhere"}, {"required": "name"}],
)
def test_what_is_no_schema_is_refused(schema: dict[str, object]):
    with pytest.raises(BadSchema):
        check_schema(schema)


def test_a_schema_fetches_nothing():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        with pytest.raises(BadSchema):
            check_schema({"$ref": f"http://127.0.0.1:{server.getsockname()[1]}/x.json"})
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_schema_reads_no_file(tmp_path: Path):
    other = tmp_path / "other.json"
    other.write_text('{"type": "string"}')
    with pytest.raises(BadSchema):
        check_schema({"$ref": other.as_uri()})


def test_a_pattern_that_backtracks_ends():
    assert faults({"type": "string", "pattern": "^(a|a)*(?=b)$"}, "a" * 40 + "c")
