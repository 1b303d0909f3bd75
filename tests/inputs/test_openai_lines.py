import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claudebatch.core.errors import BadRow
from claudebatch.inputs import Defaults, parse_line
from claudebatch.inputs.openai_body import NEUTRAL, TRANSLATED, WITHOUT_EQUAL

PLAIN = Defaults(max_tokens=1000)
USER = [{"role": "user", "content": "Hi"}]
URL = "/v1/chat/completions"


def prompt_of(line):
    return parse_line(json.dumps(line).encode(), PLAIN, file="f", line=1)


def openai(**body):
    return {"custom_id": "a", "method": "POST", "url": URL, "body": {"messages": USER, **body}}


def params_of(**body):
    params = dict(prompt_of(openai(**body)).params)
    del params["max_tokens"]
    if params["messages"] == USER:
        del params["messages"]
    return params


def refusals_of(line):
    with pytest.raises(BadRow) as caught:
        prompt_of(line)
    assert all("(in an OpenAI batch line)" in problem.reason for problem in caught.value.problems)
    return [f"{problem.reason}: {problem.fix}" for problem in caught.value.problems]


SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "additionalProperties": False,
}
FUNCTION = {"name": "f", "description": "d", "parameters": SCHEMA, "strict": True}
TOOL = {"name": "f", "description": "d", "input_schema": SCHEMA, "strict": True}

F, T = {"functions": [FUNCTION]}, {"tools": [TOOL]}
SAME_MEANING = [
    ({"stop": "x"}, {"stop_sequences": ["x"]}),
    ({"stop": ["x", "y"]}, {"stop_sequences": ["x", "y"]}),
    ({"tools": [{"type": "function", "function": FUNCTION}]}, {"tools": [TOOL]}),
    ({"functions": [FUNCTION]}, {"tools": [TOOL]}),
    (
        {"functions": [{"name": "f"}]},
        {"tools": [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]},
    ),
    (F | {"tool_choice": "auto"}, T | {"tool_choice": {"type": "auto"}}),
    (
        F | {"tool_choice": "none", "parallel_tool_calls": False},
        T | {"tool_choice": {"type": "none"}},
    ),
    (F | {"tool_choice": "required"}, T | {"tool_choice": {"type": "any"}}),
    (
        F | {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        T | {"tool_choice": {"type": "tool", "name": "f"}},
    ),
    (F | {"function_call": {"name": "f"}}, T | {"tool_choice": {"type": "tool", "name": "f"}}),
    (
        F | {"parallel_tool_calls": False},
        T | {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
    ),
    # Said about tools where there are none, it asks for nothing.
    ({"parallel_tool_calls": False}, {}),
    ({"tool_choice": "auto", "tools": []}, {}),
    ({"tool_choice": "none"}, {}),
    (
        {"functions": [{"name": "f", "parameters": {"properties": {}}}]},
        {"tools": [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]},
    ),
    ({"parallel_tool_calls": True}, {}),
    (
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "n", "strict": True, "schema": SCHEMA},
            }
        },
        {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
    ),
    ({"response_format": {"type": "text"}}, {}),
    ({"reasoning_effort": "low"}, {"output_config": {"effort": "low"}}),
    ({"user": "u"}, {"metadata": {"user_id": "u"}}),
    ({"user": "u", "safety_identifier": "u"}, {"metadata": {"user_id": "u"}}),
    ({"service_tier": "default"}, {"service_tier": "standard_only"}),
    (NEUTRAL, {}),
    (dict.fromkeys([*TRANSLATED, *WITHOUT_EQUAL]) | {"messages": USER}, {}),
]


@pytest.mark.parametrize(("body", "params"), SAME_MEANING, ids=lambda value: str(value)[:50])
def test_what_means_the_same_is_translated(body, params):
    assert params_of(**body) == params


def test_limits_ids_models_and_metadata_are_carried_over():
    prompt = prompt_of(
        openai(model="claude-haiku-5-5", max_completion_tokens=7, metadata={"team": "x", "n": 1})
    )
    assert (prompt.id, prompt.model, prompt.params["max_tokens"]) == ("a", "claude-haiku-5-5", 7)
    assert prompt.attributes == {"team": "x", "n": "1"}
    assert prompt_of(openai(max_tokens=7, max_completion_tokens=7)).params["max_tokens"] == 7


NOT_THE_SAME = [
    *(({name: "other"}, f'"{name}"') for name in WITHOUT_EQUAL),
    ({"n": 2}, "repeat the line"),
    ({"n": True}, '"n" (true)'),
    ({"temperature": 1}, "remove it (--drop temperature); say in the prompt how"),
    ({"logprobs": True}, '"logprobs" (true) has no equal'),
    ({"model": 5}, '"model" must be a string that is not empty'),
    ({"response_format": {"type": "json_object"}}, "ask for JSON in the prompt"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {}}},
        '"response_format.json_schema.schema"',
    ),
    (
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"schema": {}, "description": "d"},
            }
        },
        "description",
    ),
    ({"reasoning_effort": "minimal"}, "low, medium, high, xhigh"),
    (
        {"max_completion_tokens": "many"},
        '"max_completion_tokens" must be a whole number from 0 up, got "many"',
    ),
    ({"max_tokens": 5, "max_completion_tokens": 6}, '"max_completion_tokens" contradicts'),
    ({"stop": 5}, '"stop" must be a list'),
    ({"service_tier": "flex"}, '"service_tier" must be one of auto, default'),
    ({"tools": [{"type": "custom"}]}, '"tools[0].type" must be function'),
    ({"tools": 5}, '"tools" must be a list'),
    ({"functions": [{"parameters": {}}]}, '"functions[0].function" must be an object with a name'),
    ({"functions": [{"name": "f", "parameters": 5}]}, "parameters"),
    ({"functions": [{"name": "f", "description": 5}]}, "description"),
    ({"functions": [{"name": "f", "cost": 5}]}, '"cost"'),
    ({"tool_choice": {"type": "allowed_tools"}}, '"tool_choice" must be auto, none, required'),
    ({"parallel_tool_calls": "no"}, "true or false"),
    ({"user": 5}, '"user" must be a string'),
    ({"metadata": {"a": []}}, '"metadata.a" must be a plain value'),
    ({"metadata": 5}, '"metadata" must be an object'),
    ({"max_token": 5}, 'did you mean "max_tokens"?'),
    ({"messages": []}, '"messages" must be a list of at least one message'),
    ({"messages": None}, '"body" has no "messages"'),
]


@pytest.mark.parametrize(("body", "reason"), NOT_THE_SAME, ids=lambda value: str(value)[:50])
def test_what_has_no_equal_is_refused_by_name(body, reason):
    (refusal,) = refusals_of(openai(**body))
    assert reason in refusal


def test_only_chat_completions_are_translated():
    for url in ("/v1/audio/speech", "/v1/moderations", 5):
        (refusal,) = refusals_of({**openai(), "url": url})
        assert json.dumps(url) in refusal
    assert "write POST" in refusals_of({**openai(), "method": "GET"})[0]
    assert 'move it into "body"' in refusals_of({**openai(), "model": "x"})[0]
    assert '"body" must be an object' in refusals_of({**openai(), "body": []})[0]


CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": [1]}'}}
CALL_2 = {**CALL, "id": "call_2"}
PNG = "iVBORw0KGgoAAAANSUhEUg=="
USE = {"type": "tool_use", "id": "call_1", "name": "f", "input": {"a": [1]}}


def test_a_conversation_with_tools_and_pictures_keeps_its_meaning():
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "aGk="}
    picture = {
        "type": "image_url",
        "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "auto"},
    }
    link = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    file = {
        "type": "file",
        "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="},
    }
    prompt = prompt_of(
        openai(
            messages=[
                {"role": "developer", "content": "D"},
                {"role": "system", "content": [{"type": "text", "text": "S"}]},
                {"role": "user", "content": [{"type": "text", "text": "T"}, picture, link, file]},
                {
                    "role": "assistant",
                    "content": None,
                    "refusal": None,
                    "tool_calls": [CALL, CALL_2],
                },
                {"role": "tool", "tool_call_id": "call_1", "content": "r1"},
                {
                    "role": "tool",
                    "tool_call_id": "call_2",
                    "content": [{"type": "text", "text": "r2"}],
                },
                {"role": "assistant", "content": "A", "tool_calls": [{**CALL, "id": "call_3"}]},
                {"role": "tool", "tool_call_id": "call_3", "content": ""},
                {"role": "developer", "content": "Later"},
            ]
        )
    )
    result = {"type": "tool_result", "tool_use_id": "call_1"}
    assert prompt.params["system"] == [{"type": "text", "text": "D"}, {"type": "text", "text": "S"}]
    assert prompt.params["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "T"},
                {"type": "image", "source": source},
                {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
                {"type": "document", "source": pdf, "title": "a.pdf"},
            ],
        },
        {"role": "assistant", "content": [USE, {**USE, "id": "call_2"}]},
        {
            "role": "user",
            "content": [
                {**result, "content": "r1"},
                {
                    "type": "tool_result",
                    "tool_use_id": "call_2",
                    "content": [{"type": "text", "text": "r2"}],
                },
            ],
        },
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "A"}, {**USE, "id": "call_3"}],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "call_3", "content": ""}],
        },
        {"role": "system", "content": "Later"},
    ]


def image(url, **more):
    return {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url, **more}}]}


BAD_MESSAGES = [
    (5, '"messages[0].role"'),
    ({"role": "function", "name": "f", "content": "x"}, "use tool_calls and the tool role"),
    ({"role": "user", "content": "x", "name": "bob"}, '"messages[0]" has "name"'),
    ({"role": "user", "content": ""}, '"messages[0].content" is empty'),
    ({"role": "user", "content": []}, '"messages[0].content" is empty'),
    ({"role": "user"}, '"messages[0].content" must be a string or a list'),
    ({"role": "user", "content": [{"type": "input_audio"}]}, '"messages[0].content[0].type"'),
    (
        {"role": "user", "content": [{"type": "text"}]},
        '"messages[0].content[0].text" must be a string',
    ),
    (
        {"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]},
        "file ids are OpenAI's own",
    ),
    ({"role": "system", "content": [{"type": "image_url"}]}, '"messages[0].content[0].type"'),
    (
        {"role": "assistant", "content": "x", "tool_calls": 5},
        '"messages[0].tool_calls" must be a list',
    ),
    (
        {"role": "assistant", "tool_calls": [5]},
        '"messages[0].tool_calls[0]" must be a function call',
    ),
    ({"role": "assistant", "refusal": "no", "content": "x"}, '"refusal"'),
    ({"role": "tool", "content": "x"}, '"messages[0].tool_call_id" must be a string'),
    (image("http://example.com/a.png"), "an https: address"),
    (image("data:image/bmp;base64,aGk="), "an https: address"),
    (image("https://example.com/a.png", detail="low"), "detail"),
]


@pytest.mark.parametrize(("message", "reason"), BAD_MESSAGES, ids=lambda value: str(value)[:60])
def test_a_message_without_an_equal_is_refused_by_name(message, reason):
    (refusal,) = refusals_of(openai(messages=[message]))
    assert reason in refusal


def test_a_bad_part_before_a_tool_message_is_one_refusal():
    messages = [
        {"role": "user", "content": [{"type": "odd"}]},
        {"role": "tool", "tool_call_id": "c", "content": "x"},
    ]
    assert len(refusals_of(openai(messages=messages))) == 1


@pytest.mark.parametrize("arguments", ["", "[]", "{", '{"a": NaN}', '{"a": "\\ud800"}', None, {}])
def test_arguments_that_are_no_json_object_are_refused(arguments):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    (refusal,) = refusals_of(openai(messages=[*USER, {"role": "assistant", "tool_calls": [call]}]))
    assert '"messages[1].tool_calls[0].function.arguments" must be' in refusal


TEXTS = st.text(min_size=1).filter(lambda text: not text.isspace())
TURNS = st.lists(st.tuples(TEXTS, TEXTS), max_size=3)
SOME_JSON = st.dictionaries(
    st.text(), st.integers() | st.text() | st.lists(st.booleans()), max_size=3
)


@settings(deadline=None)
@given(
    system=st.none() | TEXTS,
    turns=TURNS,
    last=TEXTS,
    stop=st.none() | TEXTS,
    schema=st.none() | SOME_JSON,
)
def test_an_openai_line_is_the_same_prompt_as_its_messages_line(system, turns, last, stop, schema):
    chat = [
        {"role": r, "content": c}
        for turn in turns
        for r, c in zip(("user", "assistant"), turn, strict=True)
    ]
    chat.append({"role": "user", "content": last})
    theirs = {
        "messages": [*([{"role": "developer", "content": system}] if system else []), *chat],
        "stop": stop,
    }
    ours = {"messages": chat, "system": system, "stop_sequences": [stop] if stop else None}
    if schema is not None:
        theirs["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "n", "schema": schema},
        }
        ours["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    one, other = prompt_of({"id": "x", "body": theirs}), prompt_of({"id": "x", **ours})
    assert one == other


@settings(deadline=None)
@given(arguments=SOME_JSON, result=TEXTS)
def test_tool_calls_keep_their_arguments_and_results(arguments, result):
    call = {
        "id": "c",
        "type": "function",
        "function": {"name": "f", "arguments": json.dumps(arguments)},
    }
    messages = [*USER, {"role": "assistant", "tool_calls": [call]}]
    messages.append({"role": "tool", "tool_call_id": "c", "content": result})
    sent = prompt_of(openai(messages=messages)).params["messages"]
    assert sent[1]["content"] == [{"type": "tool_use", "id": "c", "name": "f", "input": arguments}]
    assert sent[2]["content"] == [{"type": "tool_result", "tool_use_id": "c", "content": result}]
