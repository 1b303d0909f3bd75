"""Requests have a beginning in common where the API reads the same bytes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claudebatch.layers.prompt_caching.leading_blocks import Beginnings, blocks

SYSTEM = [{"type": "text", "text": "Rules"}]
TOOL = {"name": "look", "input_schema": {"type": "object"}}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aa"}}
PLAIN: dict[str, Any] = {
    "tools": [TOOL],
    "system": SYSTEM,
    "messages": [
        {
            "role": "user",
            "content": [{"type": "text", "text": "doc"}, {"type": "text", "text": "q"}],
        }
    ],
}


def digests(
    params: dict[str, Any], *, model: str = "m", betas: tuple[str, ...] = (), by: Any = None
) -> list[bytes]:
    found = blocks(params)
    return list((by or Beginnings()).of(model, betas, params, found, len(found)))


def shared(one: list[bytes], other: list[bytes]) -> int:
    """How many beginnings two requests share."""
    both = [a == b for a, b in zip(one, other, strict=False)]
    assert both == sorted(both, reverse=True)
    return sum(both)


def turns(*contents: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": one} for one in contents]


@pytest.mark.parametrize(
    ("alike", "change"),
    [
        (4, {"max_tokens": 9}),
        (4, {"metadata": {"user_id": "u"}}),
        (4, {"system": "Rules"}),
        (4, {"system": [{"type": "text", "text": "Rules", "cache_control": {"ttl": "1h"}}]}),
        (3, {"messages": turns([{"type": "text", "text": "doc"}, {"type": "text", "text": "r"}])}),
        (2, {"messages": turns("other")}),
        (2, {"tool_choice": {"type": "none"}}),
        (2, {"messages": turns([{"type": "text", "text": "doc"}, IMAGE])}),
        (1, {"system": "Others"}),
        (0, {"tools": [{**TOOL, "description": "d"}]}),
        (0, {"thinking": {"type": "adaptive"}}),
        (0, {"output_config": {"effort": "low"}}),
        (0, {"speed": "fast"}),
        (0, {"messages": turns([{"type": "document", "citations": {"enabled": True}}])}),
    ],
)
def test_a_change_leaves_what_the_api_would_still_read(alike, change):
    assert shared(digests(PLAIN), digests({**PLAIN, **change})) == alike


def test_model_and_beta_headers_are_part_of_every_beginning():
    assert shared(digests(PLAIN), digests(PLAIN, model="n")) == 0
    assert shared(digests(PLAIN), digests(PLAIN, betas=("b",))) == 0
    both = digests(PLAIN, betas=("a", "b"))
    assert both == digests(PLAIN, betas=("b", "a"))


def test_a_role_is_part_of_a_beginning():
    other = [{**PLAIN["messages"][0], "role": "assistant"}]
    assert shared(digests(PLAIN), digests({**PLAIN, "messages": other})) == 2


def test_long_texts_differ_where_only_their_middle_does():
    long = "a" * 50_000
    for place in (0, 25_000, 49_999):
        other = long[:place] + "b" + long[place + 1 :]
        assert shared(digests({"system": long}), digests({"system": other})) == 0
    assert shared(digests({"system": long}), digests({"system": long})) == 1


def test_two_blocks_are_not_the_one_that_they_would_make_together():
    one = digests({"messages": turns([{"type": "text", "text": "ab"}])})
    two = digests({"messages": turns([{"type": "text", "text": t} for t in "ab"])})
    assert shared(one, two) == 0


_TEXTS = st.sampled_from(["a", "b", "c" * 5_000])
_BLOCKS = st.one_of(
    _TEXTS,
    st.lists(st.one_of(st.builds(lambda t: {"type": "text", "text": t}, _TEXTS)), max_size=3),
)
_REQUESTS = st.fixed_dictionaries(
    {
        "messages": st.lists(
            st.builds(lambda c: {"role": "user", "content": c}, _BLOCKS), max_size=4
        )
    },
    optional={
        "system": _BLOCKS,
        "tools": st.lists(st.just(TOOL), max_size=2),
        "tool_choice": st.just({"type": "none"}),
        "speed": st.just("fast"),
    },
)


@settings(max_examples=150, deadline=None)
@given(st.lists(_REQUESTS, max_size=8))
def test_what_was_told_before_changes_no_digest(requests):
    by = Beginnings()
    for params in requests:
        assert digests(params, by=by) == digests(params)
