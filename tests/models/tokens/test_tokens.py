"""Sizes: the expected ones near the truth, the bounds never below it."""

import base64
import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudebatch.models.catalog import Catalog
from claudebatch.models.tokens import expected_input, measure, unbounded_tools

CATALOG = Catalog.load()
NEW, OLD = CATALOG.facts("claude-sonnet-5-5"), CATALOG.facts("claude-haiku-4-5")


def size(facts=NEW, expected_output=None, **params):
    params = {"max_tokens": 1024, "messages": [{"role": "user", "content": "hi"}], **params}
    body = msgspec.json.encode({**params, "model": facts.id}, order="sorted")
    return measure(params, body, facts, expected_output=expected_output)


def asked(content, facts=NEW, **params):
    return size(facts, messages=[{"role": "user", "content": content}], **params)


# Rates measured over whole texts, in characters per token: (new tokenizer, old
# tokenizer).
SAMPLES = {
    "english": (
        "The committee will meet again next week to discuss the budget for the new library. " * 60,
        3.1,
        4.3,
    ),
    "python": (
        "    for name in sorted(names):\n        result[name] = compute(name, depth=depth + 1)\n"
        * 60,
        2.9,
        3.7,
    ),
    "german": (
        "Die Übertragung der Größenverhältnisse erschwerte die Überprüfung zusätzlich. " * 60,
        2.3,
        3.7,
    ),
    "russian": (
        "Комитет соберётся на следующей неделе и обсудит бюджет новой библиотеки. " * 60,
        2.9,
        2.9,
    ),
    "arabic": ("ستجتمع اللجنة الأسبوع المقبل لمناقشة ميزانية المكتبة الجديدة " * 60, 1.6, 1.6),
    "hindi": ("समिति अगले सप्ताह नए पुस्तकालय के बजट पर चर्चा करेगी " * 60, 1.4, 1.4),
    "chinese": ("委员会下周将再次开会讨论新图书馆的预算" * 60, 1.0, 1.0),
    "japanese": ("委員会は来週また会合を開き新しい図書館の予算について話し合います" * 60, 1.1, 1.1),
    "emoji": ("🎉🚀🔥😀" * 60, 0.39, 0.39),
}


@pytest.mark.parametrize(("text", "new", "old"), SAMPLES.values(), ids=SAMPLES)
def test_expected_input_is_within_a_third_of_what_was_measured(text, new, old):
    assert asked(text, NEW).input_tokens == pytest.approx(len(text) / new, rel=0.33)
    assert asked(text, OLD).input_tokens == pytest.approx(len(text) / old, rel=0.33)


def test_an_accented_text_takes_more_tokens_than_an_english_one_of_its_length():
    assert asked("aé" * 1_000, NEW).input_tokens > asked("aaa" * 1_000, NEW).input_tokens * 1.15


# Real requests with the input tokens that the API counted.
RECORDED = [
    ("claude-sonnet-4-6", {"messages": [{"role": "user", "content": "and one more question"}]}, 11),
    (
        "claude-sonnet-5",
        {
            "system": "Be as terse as possible; no punctuation",
            "messages": [{"role": "user", "content": "What is 1 + 1?"}],
        },
        30,
    ),
    (
        "claude-haiku-4-5",
        {
            "messages": [
                {"role": "user", "content": "Generate a person named John who is 30 years old"}
            ],
            "output_config": {
                "format": {
                    "type": "json_schema",
                    "schema": {
                        "type": "object",
                        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
                        "required": ["name", "age"],
                        "additionalProperties": False,
                    },
                }
            },
        },
        181,
    ),
    (
        "claude-haiku-4-5",
        {
            "system": "You must call the dice_roll tool exactly 3 times when asked to roll dice "
            "3 times.",
            "messages": [{"role": "user", "content": "Roll the dice 3 times"}],
            "tools": [
                {
                    "name": "dice_roll",
                    "description": "Rolls a single six-sided die and returns the result",
                    "input_schema": {"type": "object", "properties": {}, "required": []},
                }
            ],
        },
        596,
    ),
]


@pytest.mark.parametrize(("model", "params", "counted"), RECORDED)
def test_recorded_requests_are_expected_closely_and_bounded_from_above(model, params, counted):
    measured = size(CATALOG.facts(model), **params)
    assert measured.input_tokens == pytest.approx(counted, rel=0.35)
    assert measured.input_bound >= counted


def test_the_note_on_how_to_think_is_within_the_bound():
    thinking = {"type": "enabled", "budget_tokens": 2048}
    assert (
        asked("What is the capital of France?", OLD, thinking=thinking).input_bound >= 43
    )  # as recorded


@given(st.text(max_size=400), st.text(max_size=100))
def test_the_bound_holds_one_token_for_every_byte_of_text(text, system):
    measured = asked(text, system=system)
    assert measured.input_bound >= len(text.encode()) + len(system.encode())
    assert measured.input_bound >= measured.input_tokens


def test_the_window_is_the_most_that_is_bounded():
    assert asked("x" * 3_000_000, NEW).input_bound == NEW.context_window


def encoded(data):
    return base64.b64encode(data).decode()


def png(width, height):
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + bytes(500_000)


def image(source):
    return {"type": "image", "source": source}


def base64_source(data, media_type="image/png"):
    return {"type": "base64", "media_type": media_type, "data": encoded(data)}


def test_base64_is_not_counted_as_text():
    measured = asked([image(base64_source(png(1000, 600)))])
    assert 36 * 22 < measured.input_tokens < 36 * 22 + 100
    assert NEW.image_tokens_max < measured.input_bound < NEW.image_tokens_max + 1_000


def test_an_image_that_cannot_be_seen_counts_as_the_largest():
    by_url = asked([image({"type": "url", "url": "https://example.com/a.png"})])
    assert by_url.input_tokens >= NEW.image_tokens_max
    assert NEW.image_tokens_max < by_url.input_bound < NEW.image_tokens_max + 1_000


def test_images_in_tool_results_and_documents_are_found():
    small = image(base64_source(png(280, 280)))
    nested = [
        {"type": "tool_result", "tool_use_id": "t", "content": [small]},
        {"type": "document", "source": {"type": "content", "content": [small]}},
    ]
    measured = asked(nested)
    assert 200 <= measured.input_tokens < 350
    assert measured.input_bound > 2 * NEW.image_tokens_max


@pytest.mark.parametrize(
    "document",
    [
        {"type": "document", "source": base64_source(bytes(600_000), "application/pdf")},
        {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
        {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
        {
            "type": "document",
            "source": {"type": "text", "data": "x"},
            "citations": {"enabled": True},
        },
        {
            "type": "web_fetch_tool_result",
            "tool_use_id": "t",
            "content": {
                "type": "web_fetch_result",
                "content": {
                    "type": "document",
                    "source": base64_source(b"%PDF", "application/pdf"),
                },
            },
        },
    ],
)
def test_a_document_of_unknown_length_is_bounded_by_the_window(document):
    assert asked([document]).input_bound == NEW.context_window


def test_a_pdf_is_expected_by_its_bytes():
    one, ten = (
        asked([{"type": "document", "source": base64_source(bytes(n))}]).input_tokens
        for n in (1, 600_000)
    )
    assert 3_000 < one < 5_000
    assert 30_000 < ten < 45_000


def test_a_plain_text_document_counts_as_text():
    measured = asked(
        [
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "x" * 900},
            }
        ]
    )
    assert 900 < measured.input_bound < 1_500


def test_the_word_image_in_a_text_changes_nothing():
    assert asked('say "image"').input_bound < 400
    assert asked('{"type":"image","source":{"type":"base64","data":"AAAA"}}').input_bound < 450


def test_malformed_blocks_do_not_stop_the_measure():
    asked(
        [
            "image",
            {"type": "image"},
            {"type": "document", "source": "image"},
            {"type": "image", "source": 7},
        ]
    )


TOOL = {"name": "look", "input_schema": {"type": "object"}}


def test_tools_bring_a_hidden_prompt_and_forced_ones_another():
    plain, free = size(), size(tools=[TOOL])
    forced = size(tools=[TOOL], tool_choice={"type": "any"})
    assert free.input_tokens - plain.input_tokens > NEW.tool_overhead
    assert forced.input_tokens - free.input_tokens >= NEW.forced_tool_overhead - NEW.tool_overhead
    assert free.input_bound - plain.input_bound > 2_000
    assert (free.web_searches_bound, unbounded_tools({"tools": [TOOL]})) == (0, [])


def search(**fields):
    return {"type": "web_search_20250305", "name": "web_search", **fields}


def test_server_tools_read_the_window_again_on_every_use():
    fetch = {"type": "web_fetch_20250910", "name": "web_fetch", "max_uses": 2}
    measured = size(tools=[search(max_uses=3), fetch, TOOL])
    assert measured.input_bound == NEW.context_window * 6
    assert measured.web_searches_bound == 3


@pytest.mark.parametrize(
    "uses", [{}, {"max_uses": None}, {"max_uses": "3"}, {"max_uses": -1}, {"max_uses": True}]
)
def test_a_server_tool_without_max_uses_is_named_as_unbounded(uses):
    assert unbounded_tools({"tools": [TOOL, search(**uses)]}) == ["web_search"]
    assert size(tools=[search(**uses)]).web_searches_bound == 100


def test_a_bounded_search_is_not_named_and_code_execution_is():
    code = {"type": "code_execution_20250825", "name": "code_execution"}
    assert unbounded_tools(
        {"tools": [search(max_uses=1), code, {"type": "bash_20250124", "name": "bash"}]}
    ) == ["code_execution"]
    assert unbounded_tools({"tools": [{"type": "novelty_20270101"}]}) == ["novelty_20270101"]
    assert unbounded_tools({}) == []


@pytest.mark.parametrize(
    ("params", "tokens"),
    [
        ({"thinking": {"type": "between_tools"}}, 400),
        ({}, 800),
        ({"output_config": {"effort": "low"}}, 300),
        ({"output_config": {"effort": "max"}}, 3_200),
        ({"max_tokens": 100}, 100),
    ],
)
def test_a_usual_answer_grows_with_thinking_and_ends_at_max_tokens(params, tokens):
    measured = size(**{"max_tokens": 10_000, **params})
    assert measured.output_tokens == tokens
    assert measured.output_bound == params.get("max_tokens", 10_000)


def test_expected_output_replaces_the_guess_but_not_the_bound():
    measured = size(expected_output=5_000, max_tokens=2_000)
    assert (measured.output_tokens, measured.output_bound) == (2_000, 2_000)
    assert size(expected_output=17).output_tokens == 17


def test_expected_input_alone_is_the_same_number():
    params = {"max_tokens": 9, "messages": [{"role": "user", "content": "hello there"}]}
    body = msgspec.json.encode({**params, "model": NEW.id}, order="sorted")
    assert expected_input(params, body, NEW) == measure(params, body, NEW).input_tokens
