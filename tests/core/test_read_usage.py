"""Usage: what it proves is billed, and what nobody can read is never nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudebatch.core.domain import BILLED_KINDS, Usage, kind_counts
from claudebatch.core.read_usage import read_usage

READ = [
    ({}, (3, 5)),
    ({"output_tokens": 5.0}, (3, 5)),
    ({"input_tokens": "3", "output_tokens": "5"}, (3, 5)),
    ({"cache_creation": None, "cache_creation_input_tokens": None}, (3, 5)),
    ({"server_tool_use": None, "inference_geo": None, "speed": None}, (3, 5)),
    ({"input_tokens": 0, "cache_read_input_tokens": 9}, (0, 5)),
    ({"output_tokens_details": "none", "service_tier": 5}, (3, 5)),
    ({"iterations": [{"input_tokens": -1}], "other": True}, (3, 5)),
]


@pytest.mark.parametrize(("changes", "counts"), READ, ids=str)
def test_what_is_beyond_doubt_is_counted(changes, counts):
    usage, counted = read(changes)
    assert ((usage.input_tokens, usage.output_tokens), counted) == (counts, True)


UNREAD = [
    {"input_tokens": None},
    {"output_tokens": None},
    {"input_tokens": 0},
    {"output_tokens": 0},
    {"input_tokens": -1},
    {"output_tokens": 5.5},
    {"output_tokens": True},
    {"output_tokens": "five"},
    {"output_tokens": "5 "},
    {"output_tokens": "+5"},
    {"output_tokens": "\u0665"},
    {"output_tokens": ""},
    {"output_tokens": [5]},
    {"output_tokens": {"text": 5}},
    {"output_tokens": 10**10},
    {"output_tokens": 1e300},
    {"cache_read_input_tokens": "many"},
    {"cache_creation_input_tokens": -3},
    {"cache_creation": [5]},
    {"cache_creation": {"ephemeral_1h_input_tokens": False}},
    {"server_tool_use": 2},
    {"server_tool_use": {"web_search_requests": "two"}},
    {"inference_geo": 1},
    {"speed": True},
]


@pytest.mark.parametrize("changes", UNREAD, ids=str)
def test_what_is_in_doubt_is_not(changes):
    usage, counted = read(changes)
    assert not counted
    assert all(count >= 0 for count in kind_counts(usage))


@pytest.mark.parametrize("raw", ["null", "[]", "7", '"10"', "true", "{}", '{"tokens": 8}'])
def test_what_is_no_usage_counts_nothing(raw):
    assert read_usage(raw.encode(), wrote=True) == (Usage(), False)


NUMBERS = {
    "no float": "1e400",
    "none below": "-1e400",
    "long": "9" * 5000,
    "negative": "-" + "9" * 40,
}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_that_nothing_holds_is_no_count_and_no_error(name):
    number = NUMBERS[name]
    usage, counted = read_usage(
        f'{{"input_tokens": 3, "output_tokens": {number}}}'.encode(), wrote=True
    )
    assert (usage.input_tokens, usage.output_tokens, counted) == (3, 0, False)
    beside = f'{{"input_tokens": 3, "output_tokens": 5, "other": {number}}}'.encode()
    assert read_usage(beside, wrote=True) == (Usage(input_tokens=3, output_tokens=5), True)


def test_an_answer_without_output_has_taken_none():
    raw = b'{"input_tokens": 3, "output_tokens": 0}'
    assert read_usage(raw, wrote=False)[1]
    assert not read_usage(raw, wrote=True)[1]


def read(changes: dict[str, Any]) -> tuple[Usage, bool]:
    members = {"input_tokens": 3, "output_tokens": 5, **changes}
    return read_usage(json.dumps(members).encode(), wrote=True)


_COUNTS = st.one_of(
    st.integers(0, 10**6),
    st.integers(0, 10**6).map(float),
    st.integers(0, 10**6).map(str),
    st.none(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.text(max_size=4),
    st.lists(st.integers(), max_size=2),
)
_GROUPS = sorted({kind.group for kind in BILLED_KINDS if kind.group})
_PLAIN = sorted({kind.name for kind in BILLED_KINDS if not kind.group})
_USAGES = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys([*_PLAIN, "cache_creation_input_tokens"], _COUNTS),
        **{
            group: _COUNTS
            | st.fixed_dictionaries(
                {},
                optional={kind.name: _COUNTS for kind in BILLED_KINDS if kind.group == group},
            )
            for group in _GROUPS
        },
    },
)


@given(_USAGES)
def test_no_usage_is_read_below_what_it_says_and_none_of_nothing_is_free(members):
    usage, counted = read_usage(json.dumps(members).encode(), wrote=True)
    for kind in BILLED_KINDS:
        inner = members.get(kind.group) if kind.group else members
        stated = inner.get(kind.name) if isinstance(inner, dict) else None
        # Of writes to the cache the total rules, where it says less than their parts.
        if type(stated) is int and 0 <= stated <= 10**6 and not kind.rest_of:
            assert getattr(usage, kind.name) == stated
    total = members.get("cache_creation_input_tokens")
    if type(total) is int and 0 <= total <= 10**6:
        assert usage.cache_creation_input_tokens >= total
    if counted:
        assert usage.total_input > 0 and usage.output_tokens > 0
