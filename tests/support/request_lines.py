"""Request lines that the API takes, and lines that it refuses with the part of our
message that says why. The rules' own tests, the simulator's and those of the whole
intake go through all of them.
"""

from __future__ import annotations

import base64
from typing import Any

USER = {"role": "user", "content": "Hi"}
BOT = {"role": "assistant", "content": "Hello."}
SYSTEM = {"role": "system", "content": "Be brief."}
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(16)).decode()
JPEG = base64.b64encode(b"\xff\xd8\xff\xe0" + bytes(20)).decode()
GIF = base64.b64encode(b"GIF89a" + bytes(18)).decode()
WEBP = base64.b64encode(b"RIFF\0\0\0\0WEBP" + bytes(12)).decode()
PDF = base64.b64encode(b"%PDF-1.7 " + bytes(15)).decode()
MARK: dict[str, Any] = {"type": "ephemeral"}
LONG = {"type": "ephemeral", "ttl": "1h"}
OPUS = "claude-opus-5-5"
OLD = "claude-haiku-4-5"
CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}
TOOL = {"name": "f", "input_schema": {"type": "object"}}
SEARCH = {"type": "web_search_20260318", "name": "web_search"}


def line(**params: Any) -> dict[str, Any]:
    """An Anthropic batch line."""
    return {"params": {"max_tokens": 100, "messages": [USER], **params}}


def said(*blocks: Any, **params: Any) -> dict[str, Any]:
    """A line whose only message holds *blocks*."""
    return line(messages=[{"role": "user", "content": list(blocks)}], **params)


def talk(*messages: Any, **params: Any) -> dict[str, Any]:
    """A line with these messages."""
    return line(messages=list(messages), **params)


def text(words: str = "t", **more: Any) -> dict[str, Any]:
    """A text block."""
    return {"type": "text", "text": words, **more}


def image(media_type: Any, data: Any) -> dict[str, Any]:
    """An image block in base64."""
    source = {"type": "base64", "media_type": media_type, "data": data}
    return {"type": "image", "source": source}


def document(**more: Any) -> dict[str, Any]:
    """A document block of plain text."""
    source = {"type": "text", "media_type": "text/plain", "data": "d"}
    return {"type": "document", "source": source, **more}


def use(id: Any, **more: Any) -> dict[str, Any]:
    """An assistant's message that calls a tool."""
    block = {"type": "tool_use", "id": id, "name": "f", "input": {}, **more}
    return {"role": "assistant", "content": [block]}


def result(id: Any, **more: Any) -> dict[str, Any]:
    """A user's message with the result of a call."""
    return {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": id, "content": "r", **more}],
    }


def formatted(schema: Any, **more: Any) -> dict[str, Any]:
    """A line whose answer has a schema."""
    return line(output_config={"format": {"type": "json_schema", "schema": schema, **more}})


def openai(*messages: Any, **body: Any) -> dict[str, Any]:
    """An OpenAI batch line."""
    return {"custom_id": "a", "body": {"messages": list(messages) or [USER], **body}}


def call(id: str) -> dict[str, Any]:
    """A call in OpenAI's form."""
    return {"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}


_SERVER_TURN = {
    "role": "assistant",
    "content": [
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
    ],
}
_NESTED = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "minimum": {"type": "integer"},
        "list": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/item"}},
        "either": {"anyOf": [{"type": "null"}, {"type": "string", "enum": ["a"]}]},
    },
    "$defs": {"item": CLOSED},
    "required": ["list"],
}

COMPUTER = {
    "type": "computer_20251124",
    "name": "computer",
    "display_width_px": 800,
    "display_height_px": 600,
}
_USES = ["computer-use-2025-11-24"]
# A tree; the same by way of two definitions; one that holds itself as a whole.
_TREE = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
    "$defs": {
        "node": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/node"}]}},
        }
    },
}
_ROUND = {
    "$ref": "#/$defs/a",
    "$defs": {
        "a": {"type": "array", "items": {"$ref": "#/$defs/b~1c"}},
        "b/c": {"anyOf": [{"$ref": "#/$defs/a"}]},
    },
}
_WHOLE = {**CLOSED, "properties": {"self": {"$ref": "#"}}}
# Two ways to one definition are no recursion, and neither is one that nothing uses.
_SHARED = {
    **CLOSED,
    "properties": {"a": {"$ref": "#/$defs/item"}, "b": {"$ref": "#/$defs/item"}},
    "$defs": {"item": CLOSED, "more": {"anyOf": [{"$ref": "#/$defs/item"}]}},
}

RIGHT: list[Any] = [
    "Hi",
    {"prompt": "Hi"},
    {"prompt": "Hi", "max_tokens": 0},
    {"messages": [USER]},
    [USER],
    line(),
    line(max_tokens=0),
    line(max_tokens=0, system=[text(cache_control=LONG)]),
    talk(BOT, USER),
    talk(USER, USER),
    talk(BOT, BOT, USER),
    talk(USER, BOT, USER),
    talk(USER, {"role": "assistant", "content": "Dear"}, model=OLD),
    talk(USER, {"role": "assistant", "content": ""}, model=OLD),
    talk(SYSTEM, USER),
    talk(USER, SYSTEM, model=OPUS),
    talk(USER, SYSTEM, SYSTEM, BOT, USER, model=OPUS),
    talk(USER, BOT, USER, SYSTEM, model="claude-haiku-5-5"),
    talk(USER, _SERVER_TURN, SYSTEM, BOT, USER, model="claude-sonnet-5-5"),
    talk(USER, SYSTEM, model="some-model-of-2028"),
    said(text(), text(" two ")),
    said(text(citations=[])),
    said(image("image/png", PNG), text()),
    said(image("image/jpeg", JPEG)),
    said(image("image/gif", GIF)),
    said(image("image/webp", WEBP)),
    said(image("image/png", PNG[:8] + "\n" + PNG[8:])),
    said({"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}),
    said({"type": "image", "source": {"type": "file", "file_id": "file_1"}}),
    said(document()),
    said(document(title="T", context="c", citations={"enabled": True})),
    said(document(title="T" * 500)),
    said(document(title=None, context=None, citations=None, cache_control=None)),
    said(
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
        }
    ),
    said({"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}}),
    said({"type": "document", "source": {"type": "file", "file_id": "file_1"}}),
    said({"type": "document", "source": {"type": "content", "content": [text()]}}),
    said({"type": "search_result", "source": "s", "title": "t", "content": [text()]}),
    said({"type": "container_upload", "file_id": "file_1"}),
    line(system="s"),
    line(system=""),
    line(system=[text()]),
    line(system=[text(cache_control=LONG), text(cache_control=MARK)]),
    said(text(cache_control=MARK), text(cache_control={"type": "ephemeral", "ttl": "5m"})),
    said(*[text(cache_control=MARK)] * 4),
    line(cache_control=MARK),
    line(cache_control=LONG),
    said(*[text(cache_control=MARK)] * 3, text(), cache_control=MARK),
    said(*[text(cache_control=MARK)] * 4, cache_control=MARK),
    said(text(cache_control=LONG), cache_control=LONG),
    line(tools=[{**TOOL, "cache_control": LONG}], system=[text(cache_control=MARK)]),
    line(tools=[TOOL]),
    line(tools=[{**TOOL, "type": "custom", "description": "d", "strict": False}]),
    line(tools=[{**TOOL, "type": None}]),
    line(tools=[{"name": "a" * 128, "input_schema": {"type": "object", "minimum": 1}}]),
    line(tools=[{"name": "f", "strict": True, "input_schema": CLOSED}]),
    line(tools=[TOOL, {**TOOL, "name": "g-2_B"}], tool_choice={"type": "auto"}),
    line(tools=[TOOL], tool_choice={"type": "none"}),
    line(tools=[TOOL], tool_choice={"type": "any", "disable_parallel_tool_use": True}, model=OLD),
    line(tools=[TOOL], tool_choice={"type": "tool", "name": "f"}, model=OLD),
    line(tools=[SEARCH], tool_choice={"type": "tool", "name": "web_search"}, model=OLD),
    line(tools=[{**SEARCH, "max_uses": 3, "allowed_domains": ["example.com"]}]),
    line(tools=[{**SEARCH, "allowed_domains": ["a.com"], "blocked_domains": None}]),
    line(tools=[{"type": "web_fetch_20260318", "name": "web_fetch", "use_cache": False}]),
    line(tools=[{"type": "code_execution_20260521", "name": "code_execution"}]),
    line(tools=[{"type": "bash_20250124", "name": "bash"}]),
    line(tools=[{"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"}]),
    line(tools=[{"type": "memory_20250818", "name": "memory"}]),
    line(tools=[{"type": "computer_toolset_20260801"}]),
    line(tools=[{"type": "tool_search_tool_regex", "name": "tool_search_tool_regex"}]),
    talk(USER, use("c-1_A"), result("c-1_A")),
    talk(USER, use("c1"), result("c1", content="")),
    talk(USER, use("c1"), result("c1", content=[text(), image("image/png", PNG)])),
    talk(USER, use("c1"), result("c1", content=[text(" ")], is_error=True)),
    talk(USER, use("c1"), use("c2"), result("c1"), result("c2"), BOT, USER),
    talk(USER, use("c1"), result("c1"), use("c2"), result("c2")),
    talk(USER, use("c1"), result("c1"), SYSTEM, BOT, USER, model=OPUS),
    talk(USER, _SERVER_TURN, USER),
    talk(USER, _SERVER_TURN),
    talk(
        USER,
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "", "signature": "s"},
                {"type": "redacted_thinking", "data": "d"},
                text("A"),
            ],
        },
        USER,
    ),
    talk(USER, use("c1", caller={"type": "direct"}), result("c1")),
    line(thinking={"type": "adaptive"}, model=OPUS),
    line(thinking={"type": "adaptive", "display": "summarized"}, model=OPUS),
    line(thinking={"type": "adaptive", "display": None}, model=OPUS),
    line(thinking={"type": "disabled"}, model="claude-haiku-5-5"),
    line(thinking={"type": "between_tools"}, model="claude-sonnet-5-5"),
    line(thinking={"type": "enabled", "budget_tokens": 1024}, max_tokens=4000, model=OLD),
    line(thinking={"type": "enabled", "budget_tokens": 1024.0}, max_tokens=4000, model=OLD),
    line(output_config={"effort": "max"}, model=OPUS),
    line(output_config={"effort": None, "format": None}),
    line(output_config={}),
    formatted(CLOSED),
    formatted(_NESTED),
    formatted(_SHARED),
    line(tools=[{"name": "f", "strict": True, "input_schema": _SHARED}]),
    line(tools=[{"name": "f", "input_schema": {**_TREE}}]),
    line(betas=_USES, tools=[COMPUTER], model=OPUS),
    line(betas=_USES, tools=[COMPUTER], model="claude-fable-5-1"),
    line(tools=[{"type": "computer_toolset_20260801"}], model="claude-sonnet-5-5"),
    formatted({"type": "array", "items": {"type": "integer"}}),
    line(stop_sequences=["END", "\n\nHuman:"]),
    line(metadata={"user_id": "u" * 512}),
    line(metadata={"team": "x", "user_id": None}),
    line(service_tier="standard_only", inference_geo="us", model=OPUS),
    line(inference_geo="global", speed="standard", model=OPUS),
    line(speed="fast", model=OPUS),
    line(container="c1"),
    line(container={"id": "c1", "skills": [{"type": "anthropic", "skill_id": "pdf"}]}),
    line(diagnostics={"previous_message_id": None}),
    line(stream=False),
    line(betas=["context-management-2025-06-27"], context_management={"edits": []}),
    line(
        betas=["task-budgets-2026-03-13"],
        output_config={"task_budget": {"type": "tokens", "total": 20000}},
        model=OPUS,
    ),
    line(
        betas=["mcp-client-2025-11-20"],
        mcp_servers=[{"type": "url", "name": "m", "url": "https://example.com/mcp"}],
        tools=[{"type": "mcp_toolset", "mcp_server_name": "m"}],
    ),
    line(betas=["new-thing-2027-05-01"], new_thing={"a": 1}),
    {"prompt": "Hi", "betas": ["interleaved-thinking-2025-05-14"]},
    openai(),
    openai(parallel_tool_calls=False),
    openai(tools=[], tool_choice="auto"),
    openai({"role": "user", "content": [text(""), text("x")]}),
    openai(
        USER,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [call("call.1:a b"), call("call.1:a_b")],
        },
        {"role": "tool", "tool_call_id": "call.1:a b", "content": "1"},
        {"role": "tool", "tool_call_id": "call.1:a_b", "content": [text("")]},
    ),
    openai(
        {
            "role": "user",
            "content": [
                {
                    "type": "file",
                    "file": {
                        "filename": name,
                        "file_data": f"data:application/pdf;base64,{PDF}",
                    },
                }
                for name in ("", "n" * 600)
            ],
        }
    ),
    openai(functions=[{"name": "f", "parameters": {"properties": {}}}]),
    openai(user="u" * 512),
]
"""Each is taken by the SDK's types and by every documented rule."""

BY_TYPE: list[tuple[Any, str]] = [
    (line(thinking={"type": "adaptive", "display": "bogus"}), '"thinking.display"'),
    (line(thinking={"type": "adaptive", "budget_tokens": 2000}), '"budget_tokens"'),
    (line(thinking={"type": "between_tools", "display": "omitted"}), '"display"'),
    (line(thinking={"type": "disabled", "reason": "x"}), '"reason"'),
    (line(thinking={"type": "enabled"}), 'no "budget_tokens"'),
    (line(thinking={"type": "enabled", "budget_tokens": "2000"}), '"thinking.budget_tokens"'),
    (line(thinking={"type": "enabled", "budget_tokens": 1024.5}), '"thinking.budget_tokens"'),
    (line(thinking={"type": "auto"}), '"thinking.type"'),
    (line(thinking={}), 'no "type"'),
    (line(thinking="adaptive"), '"thinking"'),
    (line(output_config={"verbosity": "low"}), '"verbosity"'),
    (line(output_config={"task_budget": {"type": "tokens", "total": 1}}), "task_budget"),
    (line(output_config={"effort": "maximum"}), '"output_config.effort"'),
    (formatted(CLOSED, name="n"), '"name"'),
    (formatted(CLOSED, strict=True), '"strict"'),
    (formatted("x"), '"output_config.format.schema"'),
    (line(output_config={"format": {"type": "json_object"}}), '"output_config.format'),
    (line(output_config={"format": "json"}), '"output_config.format"'),
    (said(text(cache_control={"type": "ephemeral", "ttl": "10m"})), "cache_control.ttl"),
    (said(text(cache_control={"type": "persistent"})), "cache_control.type"),
    (said(text(cache_control={})), 'no "type"'),
    (said(text(cache_control="ephemeral")), "cache_control"),
    (line(cache_control={"type": "ephemeral", "ttl": 300}), '"cache_control.ttl"'),
    (line(system=[text(cache_control={"type": "ephemeral", "scope": "x"})]), '"scope"'),
    (line(tools=[{**TOOL, "cache_control": {"type": "persistent"}}]), "tools[0].cache_control"),
    (said({"type": "document"}), 'no "source"'),
    (said({"type": "image"}), 'no "source"'),
    (said({"type": "image", "source": {"type": "path", "path": "a.png"}}), "source.type"),
    (said({"type": "image", "source": "https://example.com/a.png"}), "source"),
    (said({"type": "image", "source": {"type": "url"}}), 'no "url"'),
    (said({"type": "image", "source": {"type": "base64", "data": PNG}}), 'no "media_type"'),
    (said(image("image/bmp", PNG)), "source.media_type"),
    (said(image("image/jpg", JPEG)), "source.media_type"),
    (said(image("image/png", None)), "source.data"),
    (
        said(
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "text/html", "data": PDF},
            }
        ),
        "source.media_type",
    ),
    (said(document(citations=True)), "citations"),
    (said(document(title=5)), "title"),
    (said(document(name="x")), '"name"'),
    (said({"type": "search_result", "source": "s", "title": "t"}), 'no "content"'),
    (said({"type": "text"}), "text"),
    (said({"type": "text", "text": 5}), "text"),
    (said({"type": "text", "text": "x", "annotations": []}), '"annotations"'),
    (said({"type": "video"}), "video"),
    (said({"type": "image_url", "image_url": {"url": "x"}}), "image_url"),
    (said({"type": "container_upload"}), 'no "file_id"'),
    (said({"type": "container_upload", "file_id": 5}), "file_id"),
    (line(tools=[{"name": "f", "parameters": {"type": "object"}}]), '"parameters"'),
    (line(tools=[{**TOOL, "parameters": {}}]), '"parameters"'),
    (line(tools=[{"name": "f", "input_schema": "x"}]), "tools[0].input_schema"),
    (line(tools=[{"input_schema": {"type": "object"}}]), 'no "name"'),
    (line(tools=[{**TOOL, "description": ["d"]}]), "tools[0].description"),
    (line(tools=[{**TOOL, "description": None}]), "tools[0].description"),
    (line(tools=[{**TOOL, "strict": "yes"}]), "tools[0].strict"),
    (line(tools=[{"type": "web_search_20991231", "name": "web_search"}]), "tools[0].type"),
    (line(tools=[{**SEARCH, "name": "search"}]), "tools[0].name"),
    (line(tools=[{"type": "web_search_20260318"}]), 'no "name"'),
    (line(tools=[{**SEARCH, "max_uses": "3"}]), "max_uses"),
    (line(tools=[{**SEARCH, "allowed_domains": "a.com"}]), "allowed_domains"),
    (line(tools=[{**SEARCH, "user_location": {"city": "x"}}]), "user_location"),
    (
        line(tools=[{"type": "web_fetch_20260318", "name": "web_fetch", "url_sources": ["x"]}]),
        "url_sources",
    ),
    (line(tools=[{"type": "bash_20250124", "name": "shell"}]), "tools[0].name"),
    (line(tools=[{"type": "computer_20250124", "name": "computer"}]), "tools[0].type"),
    (line(tools=[{"type": "function", "function": {"name": "f"}}]), "tools[0]"),
    (line(tools=["f"]), "tools[0]"),
    (line(tools=TOOL), '"tools"'),
    (line(tools=[TOOL], tool_choice="auto"), '"tool_choice"'),
    (line(tools=[TOOL], tool_choice={"type": "required"}), '"tool_choice.type"'),
    (line(tools=[TOOL], tool_choice={"type": "auto", "name": "f"}), '"name"'),
    (
        line(tools=[TOOL], tool_choice={"type": "none", "disable_parallel_tool_use": True}),
        "disable_parallel_tool_use",
    ),
    (line(tools=[TOOL], tool_choice={"type": "tool"}), 'no "name"'),
    (line(tools=[TOOL], tool_choice={"type": "any", "disable_parallel_tool_use": 1}), "parallel"),
    (line(diagnostics={"verbose": True}), '"verbose"'),
    (line(diagnostics="on"), '"diagnostics"'),
    (line(container={"id": 5}), "container.id"),
    (line(container={"skills": [{"type": "anthropic"}]}), 'no "skill_id"'),
    (line(container={"name": "x"}), '"name"'),
    (line(service_tier="priority"), '"service_tier"'),
    (line(speed="turbo"), '"speed"'),
    (line(metadata={"user_id": 5}), '"metadata.user_id"'),
    (line(inference_geo=["us"]), '"inference_geo"'),
    (line(stop_sequences="END"), '"stop_sequences"'),
    (line(stop_sequences=[1]), '"stop_sequences"'),
    (line(system=5), '"system"'),
    (line(system=["s"]), "system[0]"),
    (line(system=[{"type": "text"}]), "system[0].text"),
    (line(max_tokens="100"), '"max_tokens"'),
    (line(messages="Hi"), '"messages"'),
    (talk("Hi"), "messages[0]"),
    (talk({"role": "user"}), "messages[0].content"),
    (talk({"role": "tool", "content": "x"}), "messages[0].role"),
    (talk({**USER, "name": "bob"}), '"name"'),
    (talk({**SYSTEM, "clear_at": "never"}, USER), "clear_at"),
    (talk(USER, use(5), result(5)), "messages[1].content[0].id"),
    (talk(USER, use("c1", input="{}"), result("c1")), "messages[1].content[0].input"),
    (talk(USER, use("c1"), result("c1", content=5)), "messages[2].content[0].content"),
    (talk(USER, use("c1"), result("c1", content=[{"type": "thinking"}])), "content[0].type"),
    (talk(USER, use("c1"), result("c1", is_error="yes")), "is_error"),
    (talk(USER, use("c1"), result("c1", name="f")), '"name"'),
    (talk(USER, use("c1", caller={"type": "me"}), result("c1")), "caller.type"),
    (
        talk(USER, {"role": "assistant", "content": [{"type": "thinking", "thinking": "x"}]}, USER),
        "signature",
    ),
    (
        talk(
            USER,
            {
                "role": "assistant",
                "content": [{"type": "server_tool_use", "id": "s", "name": "x", "input": {}}],
            },
            USER,
        ),
        "messages[1].content[0].name",
    ),
    (said(text(citations=[{"type": "page"}])), "citations"),
    (line(mcp_servers=[{"type": "url", "name": "m", "url": "u"}]), "mcp_servers"),
    (line(context_management={"edits": []}), "context_management"),
    (line(fallbacks="default"), "fallbacks"),
    (line(temperature=1), "temperature"),
    (line(prompt="Hi"), "prompt"),
]
"""Each breaks the SDK's types."""

BY_RULE: list[tuple[Any, str]] = [
    (said(text("")), "text"),
    (said(text("x"), text("")), "content[1].text"),
    (said(text(" \n")), "white space"),
    (line(system=[text("")]), "system[0].text"),
    (line(system=[text(" ")]), "system[0].text"),
    (talk(USER, {"role": "assistant", "content": [text("")]}, USER), "messages[1].content[0]"),
    (talk(USER, use("c1"), result("c1", content=[text("")])), "content[0].content[0].text"),
    (said({"type": "document", "source": {"type": "content", "content": [text("")]}}), "source"),
    (openai({"role": "user", "content": [text("")]}), "empty"),
    (line(stop_sequences=["END", " "]), "stop_sequences[1]"),
    (line(tools=[{**TOOL, "name": "get weather"}]), "tools[0].name"),
    (line(tools=[{**TOOL, "name": "a" * 129}]), "tools[0].name"),
    (line(tools=[{**TOOL, "name": "wéb"}]), "tools[0].name"),
    (openai(functions=[{"name": "files.read"}]), "files.read"),
    (line(tools=[{"name": "f", "input_schema": {}}]), "input_schema"),
    (line(tools=[{"name": "f", "input_schema": {"type": "string"}}]), "input_schema"),
    (line(tools=[{"name": "f", "input_schema": {"properties": {}}}]), "input_schema"),
    (line(tools=[TOOL, TOOL]), "tools[1].name"),
    (line(tools=[TOOL, {**SEARCH}, {**SEARCH}]), "tools[2].name"),
    (line(tools=[TOOL], tool_choice={"type": "tool", "name": "g"}, model=OLD), "tool_choice.name"),
    (line(tool_choice={"type": "auto"}), "tool_choice"),
    (line(tool_choice={"type": "any"}, tools=[], model=OLD), "tool_choice"),
    (openai(tool_choice="required"), "tool_choice"),
    (
        line(tools=[{**SEARCH, "allowed_domains": ["a.com"], "blocked_domains": ["b.com"]}]),
        "blocked_domains",
    ),
    (talk(USER, use("call 1"), result("call 1")), "messages[1].content[0].id"),
    (talk(USER, use("call.1"), result("call.1")), "messages[1].content[0].id"),
    (talk(USER, use("fc:1"), result("fc:1")), "messages[1].content[0].id"),
    (talk(USER, use(""), result("")), "messages[1].content[0].id"),
    (talk(USER, result("c1")), "messages[1].content[0]"),
    (talk(result("c1")), "messages[0].content[0]"),
    (talk(USER, use("c1"), result("c2")), "messages[2].content[0]"),
    (talk(USER, use("c1"), USER), "messages[1].content[0]"),
    (talk(USER, use("c1"), USER, BOT, result("c1")), "messages[1].content[0]"),
    (talk(USER, use("c1"), use("c2"), result("c1")), "messages[2].content[0]"),
    (talk(USER, use("c1"), result("c1"), result("c1")), "second result"),
    (talk(USER, use("c1"), use("c1"), result("c1")), "repeats"),
    (openai({"role": "tool", "tool_call_id": "c1", "content": "r"}), "messages[0].content[0]"),
    (said(*[text(cache_control=MARK)] * 5), "cache breakpoints"),
    (said(*[text(cache_control=MARK)] * 4, text(), cache_control=MARK), "cache breakpoints"),
    (
        said(
            *[text(cache_control=MARK)] * 2,
            tools=[{**TOOL, "cache_control": MARK}],
            system=[text(cache_control=MARK), text(cache_control=MARK)],
        ),
        "cache breakpoints",
    ),
    (said(text(cache_control=MARK), text(cache_control=LONG)), "content[1].cache_control"),
    (line(tools=[{**TOOL, "cache_control": MARK}], system=[text(cache_control=LONG)]), "system[0]"),
    (said(text(cache_control=MARK), text(), cache_control=LONG), '"cache_control"'),
    (said(text(cache_control=MARK), cache_control=LONG), '"cache_control"'),
    (
        talk(
            USER,
            use("c1"),
            result("c1", content=[text(cache_control=MARK)], cache_control=LONG),
        ),
        "cache_control",
    ),
    (formatted({"type": "object", "properties": {}}), "additionalProperties"),
    (formatted({**CLOSED, "additionalProperties": True}), "additionalProperties"),
    (
        formatted({**CLOSED, "properties": {"a": {"type": "object"}}}),
        "schema.properties.a",
    ),
    (
        formatted({**CLOSED, "properties": {"a": {"type": "integer", "minimum": 0}}}),
        "properties.a.minimum",
    ),
    (formatted({"type": "string", "maxLength": 5}), "maxLength"),
    (
        formatted({"type": "array", "items": {"type": "number", "multipleOf": 2}}),
        "items.multipleOf",
    ),
    (formatted({"type": "array", "minItems": 2, "items": {}}), "minItems"),
    (formatted({"anyOf": [{"type": "object"}]}), "anyOf[0]"),
    (formatted({**CLOSED, "$defs": {"d": {"type": "object"}}}), "$defs.d"),
    (formatted({"$ref": "https://example.com/schema.json"}), "$ref"),
    (line(tools=[{"name": "f", "strict": True, "input_schema": {"type": "object"}}]), "additional"),
    (formatted(_TREE), "recursive"),
    (formatted(_ROUND), "recursive"),
    (formatted(_WHOLE), 'properties.self.$ref" leads back'),
    (formatted({"type": "array", "items": _TREE, "$defs": _TREE["$defs"]}), "recursive"),
    (line(tools=[{"name": "f", "strict": True, "input_schema": _TREE}]), "recursive"),
    (said(image("image/png", "")), "empty"),
    (
        said(
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": ""},
            }
        ),
        "empty",
    ),
    (said(image("image/png", "no base64!")), "is not base64"),
    (said(image("image/png", PNG[:-1])), "is not base64"),
    (said(image("image/png", f"data:image/png;base64,{PNG}")), "is not base64"),
    (said(image("image/png", JPEG)), "the data is image/jpeg"),
    (said(image("image/jpeg", WEBP)), "the data is image/webp"),
    (said(image("image/gif", PDF)), "is not a JPEG"),
    (talk(USER, use("c1"), result("c1", content=[image("image/png", GIF)])), "image/gif"),
    (
        openai(
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}],
            }
        ),
        "empty",
    ),
    (said(document(title="")), "title"),
    (said(document(title="t" * 600)), "title"),
    (line(metadata={"user_id": "u" * 600}), "user_id"),
    (openai(user="u" * 600), '"user"'),
    (line(inference_geo="mars", model=OPUS), "mars"),
    (talk(USER, SYSTEM, USER, model=OPUS), "messages[1]"),
    (talk(USER, BOT, SYSTEM, USER, model=OPUS), "messages[2]"),
    (talk(USER, BOT, SYSTEM, model=OPUS), "messages[2]"),
    (talk(SYSTEM, USER, SYSTEM, USER, model=OPUS), "messages[2]"),
    (openai(USER, {"role": "developer", "content": "D"}, USER), "messages[1]"),
    (line(max_tokens=0, output_config={"format": {"type": "json_schema", "schema": CLOSED}}), "0"),
    (line(max_tokens=0, tools=[TOOL], tool_choice={"type": "any"}, model=OLD), "tool_choice"),
    (line(max_tokens=0, thinking={"type": "enabled", "budget_tokens": 1024}, model=OLD), "0"),
    (line(betas=["a, b"]), "betas[0]"),
    (said({"type": "text", "txt": "x"}, betas=["compact-2026-09-04"]), '"txt"'),
    (line(betas="context-management-2025-06-27"), '"betas"'),
    (line(betas=["context-management-2025-06-27"], context_management={"edit": []}), '"edit"'),
    (line(betas=["context-management-2025-06-27"], thinking={"type": "on"}), '"thinking.type"'),
]
"""Each has right types, and breaks a documented rule."""

BY_MODEL: list[tuple[Any, str]] = [
    (talk(USER, SYSTEM, model="claude-sonnet-5"), "claude-sonnet-5 accepts none"),
    (talk(USER, SYSTEM, model="claude-haiku-4-5"), "accepts none"),
    (talk(USER, SYSTEM, BOT, USER, model="claude-opus-4-7"), "accepts none"),
    (talk(USER, {"role": "assistant", "content": "Dear "}, model=OLD), "ends in white space"),
    (
        talk(USER, {"role": "assistant", "content": [text("Dear\n")]}, model=OLD),
        "ends in white space",
    ),
    (talk(USER, BOT, model=OPUS), "does not support prefill"),
    (line(thinking={"type": "disabled"}, model=OPUS), "does not accept"),
    (line(tools=[TOOL], tool_choice={"type": "any"}, model=OPUS), "does not accept"),
    (line(output_config={"effort": "xhigh"}, model="claude-opus-4-6"), "xhigh"),
    (line(speed="fast", model=OLD), "does not support"),
    *(
        (line(betas=_USES, tools=[TOOL, COMPUTER], model=model), "tools[1].type")
        for model in ("claude-sonnet-5-5", "claude-fable-5-2", "claude-mythos-5-2")
    ),
    (line(inference_geo="us", model=OLD), "inference_geo"),
    (line(max_tokens=64_001, model=OLD), "64000"),
    (line(thinking={"type": "enabled", "budget_tokens": 1023}, model=OLD), "1024"),
]
"""Each is refused by its model alone."""
