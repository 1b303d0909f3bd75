"""What a stream tells before it adds up: what its prompt counted, how much is written,
and whether anything hides.
"""

from __future__ import annotations

import json

import pytest

from claudebatch.clients.stream_assembler import StreamAssembler
from claudebatch.core.domain import PromptTokens
from claudebatch.core.message import BadAnswer
from tests.clients.test_stream_assembler import deltas
from tests.clients.wire import DELTA, START, STOP, WHOLE, block, text


def grown(*events) -> list[tuple[int, bool]]:
    """How much had grown, and whether anything was hidden, after each of *events*."""
    folding = StreamAssembler()
    found = []
    for event in events:
        folding.take(json.dumps(event).encode())
        found.append((folding.grown, folding.hides))
    return found


def test_what_has_grown_is_counted_in_bytes_of_utf8_with_each_piece():
    said = [START, *text("Hi ", "é日😀", ""), DELTA, STOP]
    assert [size for size, _ in grown(*said)] == [0, 0, 3, 12, 12, 12, 12, 12]


def test_a_tools_input_grows_by_its_json_as_the_model_wrote_it():
    call = block(
        1,
        {"type": "tool_use", "input": {}},
        *deltas("input_json_delta", "partial_json", '{"a" : ', '"\\u00fcü"}'),
    )
    said = grown(START, *text("So"), *call, DELTA, STOP)
    assert [size for size, _ in said[4:]] == [2, 9, 20, 20, 20, 20]
    assert not any(hides for _, hides in said)


def test_thoughts_signatures_and_citations_do_not_grow():
    thoughts = block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        *deltas("thinking_delta", "thinking", "I think"),
        *deltas("signature_delta", "signature", "c2ln"),
    )
    cited = block(
        1,
        {"type": "text", "text": "", "citations": None},
        *deltas("citations_delta", "citation", {"cited_text": "as written"}),
        *deltas("signature_delta", "signature", "c2ln"),
        *deltas("text_delta", "text", "Yes"),
    )
    assert grown(START, *thoughts, *cited, DELTA, STOP)[-1] == (3, True)
    assert grown(START, *thoughts)[-1] == (0, True)


@pytest.mark.parametrize(
    ("kind", "hides"),
    [
        *(("text", False), ("tool_use", False), ("thinking", True), ("redacted_thinking", True)),
        *(
            ("server_tool_use", True),
            ("mcp_tool_use", True),
            ("web_search_tool_result", True),
            ("new", True),
        ),
        (None, True),
    ],
)
def test_only_text_and_our_own_tools_hide_nothing_and_what_was_hidden_once_stays_so(kind, hides):
    hidden = block(1, {"type": kind}, *deltas("input_json_delta", "partial_json", "{}"))
    later = [{**event, "index": 2} for event in text("Hello")]
    said = [hides for _, hides in grown(START, *text("So"), *hidden, *later, DELTA, STOP)]
    assert said == [False] * 4 + [hides] * (len(said) - 4)


def test_what_cannot_come_here_grows_nothing():
    folding = StreamAssembler()
    for event in (START, *text("Hello")[:-1]):
        folding.take(json.dumps(event).encode())
    for wrong in ({**WHOLE[2], "index": 1}, {**WHOLE[1], "content_block": {"type": "thinking"}}):
        with pytest.raises(BadAnswer):
            folding.take(json.dumps(wrong).encode())
    assert (folding.grown, folding.hides) == (5, False)


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        (
            {"input_tokens": 7, "cache_creation_input_tokens": 30, "cache_read_input_tokens": 500},
            PromptTokens(7, 30, 500),
        ),
        ({"input_tokens": 7, "cache_creation_input_tokens": None}, PromptTokens(7)),
        ({}, PromptTokens(0)),
        ({"input_tokens": "many"}, PromptTokens(0)),
        (None, None),
    ],
)
def test_what_the_prompt_counts_is_known_when_the_message_begins(usage, read):
    fold = StreamAssembler()
    assert fold.read is None
    fold.take(
        json.dumps({"type": "message_start", "message": {"content": [], "usage": usage}}).encode()
    )
    assert fold.read == read
