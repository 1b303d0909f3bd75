"""Lines made for other tools, one row each: how they are recognised, what they are
called, and the filter that makes lines for claudebatch of them.

Only a line that has problems is looked up here, so that other lines cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from claudebatch.core.errors import Problem

_Fields: TypeAlias = Mapping[str, Any]

# Parts that are no text must stop the filter: a question without its picture is another
# question.
_TEXT_ONLY = 'error("a part is not text")'


@dataclass(frozen=True, slots=True)
class ForeignShape:
    """One shape of line that another tool reads or writes."""

    name: str
    recognise: Callable[[_Fields], bool]
    fix: str
    recipe: str | None = None


def _list(fields: _Fields, name: str) -> list[Any]:
    value = fields.get(name)
    return value if isinstance(value, list) else []


def _dict(fields: _Fields, name: str) -> _Fields:
    value = fields.get(name)
    return value if isinstance(value, dict) else {}


def _body_of(url: str) -> Callable[[_Fields], bool]:
    return lambda fields: fields.get("url") == url and isinstance(fields.get("body"), dict)


def _is_alpaca(fields: _Fields) -> bool:
    own = {"prompt", "messages", "text", "question"}
    return isinstance(fields.get("instruction"), str) and own.isdisjoint(fields)


def _is_gemini(fields: _Fields) -> bool:
    return bool(_list(fields, "contents") or _list(_dict(fields, "request"), "contents"))


def _is_responses(fields: _Fields) -> bool:
    flat = {"instructions", "max_output_tokens", "previous_response_id"}
    return _body_of("/v1/responses")(fields) or ("input" in fields and not flat.isdisjoint(fields))


def _is_langchain(fields: _Fields) -> bool:
    spoken = (
        message.get("role", message.get("type"))
        for message in _list(fields, "messages")
        if isinstance(message, dict)
    )
    return any(role in ("human", "ai") for role in spoken)


def _is_saved_from_openai(fields: _Fields) -> bool:
    theirs = {"annotations", "audio", "function_call", "refusal", "tool_calls"}
    return any(
        isinstance(message, dict) and any(not message[key] for key in theirs & message.keys())
        for message in _list(fields, "messages")
    )


def _is_converse(fields: _Fields) -> bool:
    return "messages" in fields and not {"inferenceConfig", "modelId"}.isdisjoint(fields)


def _is_result(fields: _Fields) -> bool:
    # Those of claudebatch, of Message Batches and of OpenAI's batches.
    return (
        {"status", "requested_model"} <= fields.keys()
        or {"custom_id", "result"} <= fields.keys()
        or {"custom_id", "response"} <= fields.keys()
    )


_RESPONSES = (
    "jq -c '(.body // .) as $b | {custom_id, model: $b.model, system: $b.instructions, "
    'max_tokens: $b.max_output_tokens, input: ($b.input | if type == "string" then . else '
    'map({role: (if .role == "developer" then "system" else .role end), content: (.content | '
    'if type == "string" then . else map(if .type == "input_text" or .type == "output_text" '
    f'then {{type: "text", text}} else {_TEXT_ONLY} end) end)}}) end)}}\''
)
_GEMINI = (
    "jq -c '(.request // .) as $r | {id: .key, system: ([($r.systemInstruction // "
    '$r.system_instruction // {parts: []}).parts[].text] | join("\\n") | if . == "" then null '
    "else . end), max_tokens: ($r.generationConfig // $r.generation_config // {} | "
    ".maxOutputTokens // .max_output_tokens), messages: [$r.contents[] | {role: (if .role == "
    f'"model" then "assistant" else "user" end), content: [.parts[] | .text // {_TEXT_ONLY}] | '
    'join("")}]}\''
)
_CONVERSE = (
    'jq -c \'{system: [(.system // [])[] | {type: "text", text}], max_tokens: '
    ".inferenceConfig.maxTokens, messages: [.messages[] | {role, content: [.content[] | "
    f'if .text then {{type: "text", text}} else {_TEXT_ONLY} end]}}]}}\''
)

_SHAREGPT = (
    r"""jq -c '{id, messages: [.conversations | if .[-1] | .from // .role | IN("gpt", """
    r""""assistant") then .[:-1] else . end | .[] | {role: (.from // .role | """
    r"""({human: "user", gpt: "assistant"}[.] // .)), content: (.value // .content)}]}'"""
)
_OLD_CLAUDE = (
    r"""jq -c '{id, model, max_tokens: .max_tokens_to_sample, prompt: (.prompt | """
    r"""sub("^\\s*Human:\\s*"; "") | sub("\\s*Assistant:\\s*$"; ""))}'"""
)

FOREIGN_SHAPES: tuple[ForeignShape, ...] = (
    ForeignShape(
        "a result, not a request",
        _is_result,
        "name the file of requests that it answers",
    ),
    ForeignShape(
        "an Alpaca row (instruction, input, output)",
        _is_alpaca,
        "make a prompt of instruction and input",
        'jq -c \'{id, prompt: (.instruction + if (.input // "") == "" then "" else '
        '"\\n\\n" + .input end)}\'',
    ),
    ForeignShape(
        "a ShareGPT row (conversations)",
        lambda fields: bool(_list(fields, "conversations")),
        "make messages of it, without a last answer",
        _SHAREGPT,
    ),
    ForeignShape(
        "an MT-bench row (turns)",
        lambda fields: bool(_list(fields, "turns")),
        "ask the first turn; the next ones need its answer",
        "jq -c '{id: .question_id, prompt: .turns[0]}'",
    ),
    ForeignShape(
        "a Gemini request (contents)",
        _is_gemini,
        "take its text, system instruction and longest answer",
        _GEMINI,
    ),
    ForeignShape(
        "a Bedrock batch line (modelInput)",
        lambda fields: bool(_dict(fields, "modelInput")),
        "make an Anthropic batch line of it",
        "jq -c '{custom_id: .recordId, params: (.modelInput | del(.anthropic_version, "
        ".anthropic_beta))}'",
    ),
    ForeignShape(
        "a Bedrock Converse request",
        _is_converse,
        "take its text, system prompt and maxTokens",
        _CONVERSE,
    ),
    ForeignShape(
        "a Vertex batch line (request)",
        lambda fields: bool(_list(_dict(fields, "request"), "messages")),
        "make an Anthropic batch line of it",
        "jq -c '{custom_id: (.custom_id // .key), params: (.request | del(.anthropic_version))}'",
    ),
    ForeignShape(
        "a whole batch on one line (requests)",
        lambda fields: bool(_list(fields, "requests")),
        "write one request per line",
        "jq -c '.requests[]'",
    ),
    ForeignShape(
        "a request of OpenAI's Responses API",
        _is_responses,
        "take its input, instructions and max_output_tokens",
        _RESPONSES,
    ),
    ForeignShape(
        "a request for OpenAI's completions",
        _body_of("/v1/completions"),
        "take its prompt and max_tokens",
        "jq -c '{custom_id, model: .body.model, prompt: .body.prompt, max_tokens: "
        ".body.max_tokens}'",
    ),
    ForeignShape(
        "a request for embeddings",
        _body_of("/v1/embeddings"),
        "Claude does not make embeddings: remove these lines",
    ),
    ForeignShape(
        "a LangChain conversation (human, ai)",
        _is_langchain,
        "name the roles user and assistant",
        'jq -c \'.messages |= map({role: ({human: "user", ai: "assistant"}[.role // .type] // '
        ".role // .type), content})'",
    ),
    ForeignShape(
        "a conversation saved from OpenAI's API",
        _is_saved_from_openai,
        "remove what is null or empty in its messages",
        "jq -c '.messages |= map(with_entries(select(.value != null and .value != [])))'",
    ),
    ForeignShape(
        "one message, not a conversation",
        lambda fields: {"role", "content"} <= fields.keys() and "messages" not in fields,
        "make a conversation of each, or of all with jq -sc '{messages: .}'",
        "jq -c '{messages: [.]}'",
    ),
    ForeignShape(
        "a request of the old text completions (max_tokens_to_sample)",
        lambda fields: "max_tokens_to_sample" in fields and isinstance(fields.get("prompt"), str),
        "take its prompt without Human: and Assistant:",
        _OLD_CLAUDE,
    ),
)
"""In the order in which they are tried."""


def foreign_shape(fields: _Fields) -> Problem | None:
    """The one problem of a line of another tool's, in the place of all others; None for
    every other line.
    """
    shape = next((shape for shape in FOREIGN_SHAPES if shape.recognise(fields)), None)
    return (
        None if shape is None else Problem("E322", f"this is {shape.name}", shape.fix, shape.recipe)
    )
