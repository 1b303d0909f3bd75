import json
from dataclasses import replace

import pytest

from claudebatch.core.errors import BadRow
from claudebatch.inputs import Defaults, parse_line
from claudebatch.inputs.fields import CHECKS

DEFAULTS = Defaults(max_tokens=1000, system="Be brief.")
PLAIN = Defaults(max_tokens=1000)


def prompt_of(value, defaults=PLAIN):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return parse_line(data, defaults, file="in.jsonl", line=7)


def problems_of(value, defaults=PLAIN):
    with pytest.raises(BadRow) as caught:
        prompt_of(value, defaults)
    return [f"in.jsonl:7: {p.reason}: {p.fix}" for p in caught.value.problems]


USER = [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    "value",
    [
        "Hi",
        *({key: "Hi"} for key in ("prompt", "input", "text", "question")),
        {"messages": USER},
        {"input": USER},
        {"custom_id": "a", "params": {"messages": USER}},
        {
            "custom_id": "a",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"messages": USER},
        },
    ],
    ids=json.dumps,
)
def test_every_shape_asks_the_same_question_and_has_the_same_digest(value):
    prompt = prompt_of(value, DEFAULTS)
    assert prompt.params == {"max_tokens": 1000, "system": "Be brief.", "messages": USER}
    assert prompt.digest == prompt_of("Hi").digest
    assert (prompt.file, prompt.line) == ("in.jsonl", 7)


def test_in_text_mode_the_line_is_the_prompt():
    prompt = prompt_of(b' {"prompt": "no"}\x00 ', Defaults(max_tokens=1, text=True))
    assert prompt.params["messages"] == [{"role": "user", "content": ' {"prompt": "no"}\x00 '}]
    assert problems_of(b"\xff", Defaults(max_tokens=1, text=True))


FULL = {
    "betas": ["context-management-2025-06-27"],
    "cache_control": {"type": "ephemeral", "ttl": "1h"},
    "container": {"id": "c"},
    "diagnostics": {"previous_message_id": "msg_1"},
    "inference_geo": "us",
    "max_tokens": 5,
    "metadata": {"user_id": "u"},
    "model": "claude-opus-5-5",
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {}}},
    "service_tier": "auto",
    "speed": "fast",
    "stop_sequences": ["x"],
    "stream": False,
    "system": [{"type": "text", "text": "s"}],
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "tool_choice": {"type": "tool", "name": "t"},
    "tools": [
        {"name": "t", "input_schema": {"type": "object"}},
        {"type": "web_search_20260318", "name": "web_search"},
    ],
}


@pytest.mark.parametrize("wrap", [lambda p: p, lambda p: {"params": p}], ids=["messages", "params"])
def test_a_lines_own_parameters_go_before_the_defaults(wrap):
    assert FULL.keys() == CHECKS.keys()
    prompt = prompt_of(wrap({"messages": USER, **FULL}), DEFAULTS)
    sent = {name: FULL[name] for name in FULL.keys() - {"betas", "model", "stream"}}
    assert prompt.params == {"messages": USER, **sent}
    assert prompt.model == "claude-opus-5-5"


def test_what_breaks_types_hides_no_broken_rule_of_another_parameter():
    image = {"type": "image", "source": {"type": "url"}}
    line = {
        "messages": [{"role": "user", "content": [image]}],
        "tools": [{"name": "a b", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "auto", "name": "f"},
        "stop_sequences": [" "],
        "metadata": {"user_id": "u" * 600, "team": "x"},
    }
    told = "\n".join(problems_of(line))
    for place in ("content[0].source", "tools[0].name", "tool_choice", "stop_sequences", "user_id"):
        assert place in told
    assert told.count("\n") == 4
    # Nothing is said about the choice among tools that cannot be read.
    line["tools"], line["tool_choice"] = [{"name": 5}], {"type": "tool", "name": "f"}
    assert "tool_choice" not in "\n".join(problems_of(line))


def test_null_means_that_nothing_is_given():
    nulls = dict.fromkeys([*FULL, "id", "tags"])
    assert prompt_of({"prompt": "Hi", **nulls}, DEFAULTS) == prompt_of({"prompt": "Hi"}, DEFAULTS)
    assert "is null" in problems_of({"prompt": None})[0]


@pytest.mark.parametrize("empty", ["", []])
def test_an_empty_system_means_none_at_all(empty):
    prompt = prompt_of({"prompt": "Hi", "system": empty}, DEFAULTS)
    assert "system" not in prompt.params
    assert prompt.digest != prompt_of({"prompt": "Hi"}, DEFAULTS).digest


def test_metadata_is_for_rules_and_only_user_id_is_sent():
    prompt = prompt_of(
        {
            "prompt": "Hi",
            "metadata": {"user_id": "u", "n": 1.5, "big": 2**70, "ok": True, "no": None},
        }
    )
    assert prompt.attributes == {"n": "1.5", "big": str(2**70), "ok": "true"}
    assert prompt.params["metadata"] == {"user_id": "u"}
    assert "metadata" not in prompt_of({"prompt": "Hi", "metadata": {"a": "b"}}).params


def test_tags_are_one_string_or_a_list():
    assert prompt_of({"prompt": "Hi", "tags": "a"}).tags == ("a",)
    assert prompt_of({"custom_id": "x", "params": {"messages": USER}, "tags": ["a", "b"]}).tags == (
        "a",
        "b",
    )
    for bad in (1, [1], [""], "", {}):
        assert '"tags" must be' in problems_of({"prompt": "Hi", "tags": bad})[0]


def test_leading_system_messages_become_the_system_prompt():
    one = {"role": "system", "content": "Be kind."}
    late = [*USER, {"role": "system", "content": "Now be short."}]
    prompt = prompt_of({"messages": [one, *late]}, DEFAULTS)
    assert (prompt.params["system"], prompt.params["messages"]) == ("Be kind.", late)
    two = {"role": "system", "content": [{"type": "text", "text": "And brief."}]}
    blocks = [{"type": "text", "text": "Be kind."}, {"type": "text", "text": "And brief."}]
    assert prompt_of({"messages": [one, two, *USER]}).params["system"] == blocks
    assert "keep one of them" in problems_of({"system": "s", "messages": [one, *USER]})[0]


def test_every_problem_of_a_line_is_told_with_its_place_its_shape_and_a_fix():
    bad = {"prompt": 1, "max_tokens": "many", "modle": "x", "tags": 3, "id": [], "temperature": 0}
    assert problems_of(bad) == [
        'in.jsonl:7: "max_tokens" must be a whole number from 0 up, got "many": '
        "write a number such as 1024, or leave it out",
        'in.jsonl:7: unknown field "modle": did you mean "model"?',
        'in.jsonl:7: "temperature" is no longer a parameter: since API version 2026-10-21 every '
        "model answers 400 to"
        " it, even at its default: remove it (--drop temperature); say in the "
        "prompt how the answer should be",
        'in.jsonl:7: "prompt" must be a string, got 1: write it in quotes; '
        "conversations go into"
        ' "messages"',
        'in.jsonl:7: "id" must be a string or a number, got an empty list: '
        "write it in quotes, or leave it out",
        'in.jsonl:7: "tags" must be a string or a list of strings, none of them empty, got 3: '
        'write "tags": ["urgent"], or leave it out',
    ]


WRONG = [
    ({"max_tokens": True}, "from 0 up, got true"),
    ({"max_tokens": -1}, "from 0 up, got -1"),
    ({"max_tokens": 10.0}, "from 0 up, got 10.0"),
    ({"max_tokens": 2**64}, "at most 1000000"),
    ({"model": ""}, '"model" must be a string'),
    ({"system": 5}, '"system" must be a string or a list of text blocks'),
    ({"system": [{"type": "image"}]}, "text blocks only"),
    ({"tools": {}}, "a list of tools"),
    ({"tools": [{"name": "t"}]}, '"tools[0]" has no "input_schema"'),
    ({"tools": [{"type": "function", "function": {}}]}, "is an OpenAI tool"),
    ({"tools": [{"type": [], "input_schema": {}}]}, '"tools[0].type" must be a string'),
    ({"tool_choice": "auto"}, 'an object with a "type"'),
    ({"tool_choice": {"type": "required"}}, "auto, any, tool, none"),
    ({"tool_choice": {"type": "tool"}}, '"tool_choice" has no "name"'),
    ({"thinking": {"type": "on"}}, "enabled, disabled, between_tools, adaptive"),
    ({"thinking": {"type": "enabled"}}, '"thinking" has no "budget_tokens"'),
    ({"output_config": {"effort": "maximum"}}, '"output_config.effort" must be one of high, low'),
    (
        {"output_config": {"format": {"type": "json_object", "schema": {}}}},
        '"output_config.format.type" must be json_schema',
    ),
    (
        {"output_config": {"format": {"type": "json_schema"}}},
        '"output_config.format" has no "schema"',
    ),
    ({"metadata": []}, '"metadata" must be an object'),
    ({"metadata": {"user_id": 5}}, '"metadata.user_id" must be a string'),
    ({"metadata": {"a\nb": {}}}, '"metadata.a\\nb" must be'),
    ({"stop_sequences": "x"}, '"stop_sequences" must be a list'),
    ({"stop_sequences": [""]}, '"stop_sequences" must be a list'),
    (
        {"cache_control": {"type": "ephemeral", "ttl": "2h"}},
        '"cache_control.ttl" must be one of 1h, 5m',
    ),
    ({"container": 5}, '"container" must be'),
    ({"inference_geo": 5}, '"inference_geo" must be'),
    ({"service_tier": "flex"}, "auto, standard_only"),
    ({"speed": ["fast"]}, '"speed" must be a string'),
    ({"speed": "quick"}, '"speed" must be one of fast, standard'),
    ({"stream": True}, "decides itself when to stream"),
    ({"stream": 0}, "decides itself when to stream"),
    ({"top_k": None, "top_p": 1}, '"top_p" is no longer a parameter'),
    ({"workspace_id": "w"}, "header of the whole run"),
    ({"text": "x"}, '"prompt" and "text" are both given'),
]


@pytest.mark.parametrize(("fields", "reason"), WRONG, ids=lambda value: str(value)[:40])
def test_a_wrong_field_is_told_in_clear_words(fields, reason):
    (line,) = problems_of({"prompt": "Hi", **fields})
    assert reason in line


BAD_MESSAGES = [
    ([], "a list of at least one user message, got an empty list"),
    ("Hi", 'a list of at least one user message, got "Hi"'),
    (["Hi"], '"messages[0]" must be an object'),
    ([{"role": "tool", "content": "x"}], "OpenAI batch line"),
    ([{"role": {}, "content": "x"}], '"messages[0].role" must be user, assistant or system'),
    ([{"role": "user", "content": " \n"}], '"messages[0].content" is empty'),
    ([{"role": "user", "content": []}], '"messages[0].content" is empty'),
    ([{"role": "user"}], '"messages[0].content" must be a string or a list'),
    ([{"role": "user", "content": "x", "name": "n"}], 'unknown field "name"'),
    (
        [{"role": "user", "content": ["x"]}],
        '"messages[0].content[0]" must be an object with a "type"',
    ),
    (
        [{"role": "user", "content": [{"type": {}}]}],
        '"messages[0].content[0]" must be an object with a "type"',
    ),
    ([{"role": "user", "content": [{"type": "txt", "text": "x"}]}], "use text, image, document…"),
    ([{"role": "user", "content": [{"type": "imagee"}]}], 'did you mean "image"?'),
    ([{"role": "user", "content": [{"type": "image_url"}]}], "OpenAI batch line"),
    (
        [{"role": "user", "content": [{"type": "text", "text": 5}]}],
        '"messages[0].content[0].text" must be a string',
    ),
    (
        [{"role": "user", "content": [{"type": "text", "text": "x", "citations": [{}]}]}],
        "has citations",
    ),
    (
        [*USER, {"role": "assistant", "content": [{"type": "document"}]}, *USER],
        "document in an assistant message",
    ),
    ([{"role": "system", "content": [{"type": "image"}]}, *USER], "text blocks only"),
    ([{"role": "system", "content": "x"}], "at least one user message"),
    ([*USER, {"role": "system", "content": [{"type": "image"}]}], "text blocks only"),
]


@pytest.mark.parametrize(("messages", "reason"), BAD_MESSAGES, ids=lambda value: str(value)[:60])
def test_a_conversation_that_the_api_cannot_read_is_refused(messages, reason):
    (line,) = problems_of({"messages": messages})
    assert reason in line
    (line,) = problems_of({"params": {"messages": messages}})
    assert reason in line
    assert "(in an Anthropic batch line)" in line


def test_what_blocks_hold_is_passed_through():
    text = {"type": "text", "media_type": "text/plain", "data": "d"}
    blocks = [
        {"type": "image", "source": {"type": "file", "file_id": "f"}},
        {"type": "document", "source": text, "citations": {"enabled": True}},
        {"type": "text", "text": "t", "cache_control": {"type": "ephemeral"}, "citations": []},
    ]
    messages = [{"role": "user", "content": blocks}, {"role": "assistant", "content": ""}]
    assert prompt_of({"messages": messages}).params["messages"] == messages


def test_one_list_of_messages_is_a_row_like_one_in_an_object():
    listed = prompt_of([{"role": "system", "content": "Be brief."}, *USER])
    assert listed.params["system"] == "Be brief."
    assert listed.params["messages"] == USER
    assert listed.digest == prompt_of({"messages": USER, "system": "Be brief."}).digest


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({}, "no prompt: the object is empty"),
        ({"promt": "Hi"}, '"promt" looks like "prompt"'),
        ({"foo": "Hi"}, 'no prompt: the line has only "foo"'),
        (5, "the line is 5, not a prompt"),
        (None, "the line is null, not a prompt"),
        (
            ["Hi"],
            'a list of 1 item, not a prompt: write a string, {"prompt": "…"}, '
            '{"messages": […]} or a list of messages',
        ),
        ([{"role": "user"}], '"line[0].content" must be a string or a list of blocks'),
        ([{"content": "Hi"}], '"line[0].role" must be user, assistant or system, got null'),
        ("", "the prompt is empty"),
        ({"prompt": " "}, '"prompt" is empty'),
        ({"prompt": USER}, 'conversations go into "messages"'),
        ({"params": []}, '"params" must be an object'),
        ({"params": {}}, '"messages" must be a list of at least one user message, got null'),
        ({"params": {"messages": USER, "id": "x"}}, 'move it beside "params"'),
        ({"params": {"messages": USER}, "model": "x"}, 'move it into "params"'),
    ],
    ids=str,
)
def test_a_line_without_a_prompt_says_what_was_seen(value, reason):
    assert any(reason in line for line in problems_of(value))


def test_a_hostile_line_has_a_bounded_list_of_problems():
    strict = replace(DEFAULTS, extra="refuse")
    many = {"prompt": "Hi", **{f"x{n}": 1 for n in range(5000)}}
    with pytest.raises(BadRow) as caught:
        parse_line(json.dumps(many).encode(), strict, file="f", line=1)
    assert len(caught.value.problems) == 21
    assert len(problems_of({"messages": [5] * 5000})) == 20
    assert len(problems_of({"prompt": "Hi", "tools": [5] * 5000})) == 20
    assert len(problems_of({"body": {"messages": [5] * 5000}})) == 20
    assert (
        max(map(len, problems_of({"prompt": "Hi", "y" * 100_000: 1, "metadata": {"z" * 9999: []}})))
        < 300
    )


def test_a_line_above_the_limit_is_a_bad_row():
    (line,) = problems_of(b'"' + b"a" * 40_000_000 + b'"')
    assert "longer than 40 MB" in line


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("mcp_servers", '"betas": ["mcp-client-2025-11-20"]'),
        ("context_management", '"betas": ["context-management-2025-06-27"]'),
        ("output_format", '"output_config": {"format": …}'),
        ("max_tokens_to_sample", "is the old name of max_tokens"),
        ("extra_headers", "argument of the SDK"),
        ("stop", '"stop_sequences"'),
        ("anthropic_version", "header of the whole run"),
    ],
)
def test_old_and_beta_parameters_are_known_by_name_in_every_place(field, words):
    lines = {"messages": USER, field: 1}, {"params": {"messages": USER, field: 1}}
    for line in lines:
        (told,) = problems_of(line)
        assert f'"{field}" ' in told
        assert words in told
        assert "did you mean" not in told


@pytest.mark.parametrize("name", ["request", "image", "test", "kwargs", "product"])
def test_a_column_of_its_own_is_taken_for_no_misspelling(name):
    (told,) = problems_of({name: "x"})
    assert "did you mean" not in told
    assert "looks like" not in told
    assert json.loads(prompt_of({"prompt": "Hi", name: "x"}).columns) == {name: "x"}


def test_one_column_of_text_under_another_name_is_offered_as_the_prompt():
    with pytest.raises(BadRow) as caught:
        prompt_of({"id": "q1", "query": "Where is Oslo?"})
    (problem,) = caught.value.problems
    assert problem.fix == 'if "query" is the prompt, call it so'
    assert problem.recipe == "jq -c '.prompt = .query | del(.query)'"
    with pytest.raises(BadRow) as caught:
        prompt_of({"product": "A lamp", "review": "Too dim"})
    assert caught.value.problems[0].recipe is None
