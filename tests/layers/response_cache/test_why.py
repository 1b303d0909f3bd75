"""Why a request finds no answer, for each kind of difference: the nearest entry, and
what differs in the words of people who write prompts.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from claudebatch.core.domain import Call
from claudebatch.core.jsonl import decode, encode
from claudebatch.core.reports import CacheWhy
from claudebatch.layers.response_cache.description import digests, row_name
from claudebatch.layers.response_cache.nearest import CacheQuestion, explained, question_of
from claudebatch.layers.response_cache.request_diff import AskedRequest, changes
from claudebatch.layers.response_cache.request_notes import place_of
from claudebatch.layers.response_cache.settings import CachePolicy
from tests.support.asked import SCOPE, Asked, key_of
from tests.support.scripted import HAIKU, OPUS, SONNET, make_call, make_reply

PROMPT = "Classify the sentiment of this review as positive or negative: I liked it a lot."
TOOL = {"name": "look_up", "description": "Looks up.", "input_schema": {"type": "object"}}
OTHER_TOOL = {"name": "send", "description": "Sends.", "input_schema": {"type": "object"}}
SCHEMA = {"type": "json_schema", "schema": {"type": "object", "required": ["a"]}}
OTHER_SCHEMA = {"type": "json_schema", "schema": {"type": "object", "required": ["b"]}}


def image(data: str, media_type: str = "image/png") -> list[dict[str, Any]]:
    source = {"type": "base64", "media_type": media_type, "data": data}
    return [{"type": "image", "source": source}, {"type": "text", "text": PROMPT}]


def turns(*texts: str) -> list[dict[str, Any]]:
    roles = ("user", "assistant")
    return [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]


def messages(content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


class Kind(NamedTuple):
    """One kind of difference."""

    then: dict[str, Any]
    now: dict[str, Any]
    says: str


KINDS = {
    "model": Kind({}, {"model": SONNET}, f"model: {HAIKU} → {SONNET}"),
    "system prompt": Kind(
        {"system": "Answer in one word."},
        {"system": "Answer in French in one word."},
        "system prompt: 'Answer in one word.' → 'Answer in French in one word.'",
    ),
    "no system prompt": Kind({}, {"system": "Be brief."}, "system prompt: none → 'Be brief.'"),
    "late in a system prompt": Kind(
        {"system": "Word after word after word after word, then a: yes."},
        {"system": "Word after word after word after word, then a: no."},
        "system prompt: '…word, then a: yes.' → '…word, then a: no.'",
    ),
    "a mark in the system prompt": Kind(
        {"system": [{"type": "text", "text": "S"}]},
        {"system": [{"type": "text", "text": "S", "cache_control": {"type": "ephemeral"}}]},
        'system prompt, cache_control: none → {"type":"ephemeral"}',
    ),
    "a system prompt in blocks with a mark": Kind(
        {"system": "S"},
        {"system": [{"type": "text", "text": "S", "cache_control": {"type": "ephemeral"}}]},
        'system prompt, cache_control: none → {"type":"ephemeral"}',
    ),
    "a system prompt in blocks": Kind(
        {"system": "S"},
        {"system": [{"type": "text", "text": "S"}]},
        "system prompt: a string → a list of blocks (the same text, written otherwise)",
    ),
    "accents written otherwise": Kind(
        {"system": "Café"},
        {"system": "Cafe\u0301"},
        "system prompt: 'Café' → 'Cafe\u0301' (only the Unicode form differs, as NFC and NFD do)",
    ),
    "characters that nobody sees": Kind(
        {"system": "Be brief."},
        {"system": "\ufeffBe\u200b brief."},
        "system prompt: 'Be brief.' → '\\ufeffBe\\u200b brief.'"
        " (only characters that are not seen differ)",
    ),
    "a blank of another kind": Kind(
        {"system": "Be brief."},
        {"system": "Be\u00a0brief."},
        "system prompt: 'Be brief.' → 'Be\\xa0brief.' (only blanks or line ends differ)",
    ),
    "a quote of another kind": Kind(
        {"system": "It\u2019s"}, {"system": "It's"}, "system prompt: 'It\u2019s' → 'It's'"
    ),
    "max_tokens": Kind({"max_tokens": 100}, {"max_tokens": 200}, "max_tokens: 100 → 200"),
    "temperature": Kind({"temperature": 0}, {"temperature": 0.7}, "temperature: 0 → 0.7"),
    "no temperature": Kind({"temperature": 0}, {}, "temperature: 0 → none"),
    "top_p": Kind({"top_p": 0.9}, {"top_p": 0.5}, "top_p: 0.9 → 0.5"),
    "stop sequences": Kind({}, {"stop_sequences": ["x"]}, 'stop sequences: none → ["x"]'),
    "thinking": Kind(
        {},
        {"thinking": {"type": "enabled", "budget_tokens": 2000}},
        'thinking: none → {"budget_tokens":2000,"type":"enabled"}',
    ),
    "a tool more": Kind(
        {"tools": [TOOL]}, {"tools": [TOOL, OTHER_TOOL]}, "tools: without it → send"
    ),
    "a tool less": Kind(
        {"tools": [TOOL, OTHER_TOOL]}, {"tools": [TOOL]}, "tools: send → without it"
    ),
    "a tool's words": Kind(
        {"tools": [TOOL]},
        {"tools": [TOOL | {"description": "Looks things up."}]},
        "tool look_up, description: 'Looks up.' → 'Looks things up.'",
    ),
    "tools in another order": Kind(
        {"tools": [TOOL, OTHER_TOOL]},
        {"tools": [OTHER_TOOL, TOOL]},
        "tools: look_up, send → send, look_up (in another order)",
    ),
    "tool choice": Kind(
        {"tools": [TOOL]},
        {"tools": [TOOL], "tool_choice": {"type": "any"}},
        'tool choice: none → {"type":"any"}',
    ),
    "schema": Kind(
        {"output_config": {"format": SCHEMA}},
        {"output_config": {"format": OTHER_SCHEMA}},
        'schema: {"required":["a"],"type":"object"} → {"required":["b"],"type":"object"}',
    ),
    "effort": Kind(
        {"output_config": {"effort": "low"}},
        {"output_config": {"effort": "high"}},
        "effort: low → high",
    ),
    "betas": Kind({}, {"betas": ("b-1", "a-1")}, "beta headers: none → a-1, b-1"),
    "repeat": Kind({}, {"repeat": 1}, "repeat: answer 1 → answer 2 of its row"),
    "address": Kind(
        {},
        {"scope": f"{SCOPE} https://gw.example/v1"},
        f"asked at: the API → {place_of(f'{SCOPE} https://gw.example/v1')}",
    ),
    "a word of the prompt": Kind(
        {},
        {"messages": messages(PROMPT.replace("liked", "loved"))},
        "prompt: '…negative: I liked it a lot.' → '…negative: I loved it a lot.'",
    ),
    "blanks in the prompt": Kind(
        {},
        {"messages": messages(PROMPT + "\n")},
        "prompt: '…liked it a lot.' → '…liked it a lot.\\n' (only blanks or line ends differ)",
    ),
    "case of the prompt": Kind(
        {},
        {"messages": messages(PROMPT.replace("I liked", "I LIKED"))},
        "prompt: '…or negative: I liked it a lot.' → '…or negative: I LIKED it a lot.' "
        "(only upper and lower case differ)",
    ),
    "a turn more": Kind(
        {"messages": turns("First?")},
        {"messages": turns("First?", "Yes.", "And then?")},
        "messages: 1 → 3",
    ),
    "an earlier turn": Kind(
        {"messages": turns("First?", "Yes.", PROMPT)},
        {"messages": turns("First?", "No.", PROMPT)},
        "message 2 (assistant): 'Yes.' → 'No.'",
    ),
    "another image": Kind(
        {"messages": messages(image("AAAA" * 100))},
        {"messages": messages(image("BBBB" * 200))},
        "prompt, image: 400 characters → 800 characters (another file)",
    ),
    "an image of another type": Kind(
        {"messages": messages(image("AAAA"))},
        {"messages": messages(image("AAAA", "image/webp"))},
        'prompt, image: …ia_type":"image/png","type":"base64"},"type":"im…'
        ' → …ia_type":"image/webp","type":"base64"},"type":"i…',
    ),
    "an image more": Kind(
        {"messages": messages([image("")[1]])},
        {"messages": messages([image("")[1], image("AA")[0]])},
        "prompt: none → image",
    ),
    "a mark of the prompt cache": Kind(
        {"messages": messages([image("")[1]])},
        {"messages": messages([image("")[1] | {"cache_control": {"type": "ephemeral"}}])},
        'prompt, cache_control: none → {"type":"ephemeral"}',
    ),
    "blocks in place of a string": Kind(
        {},
        {"messages": messages([{"type": "text", "text": PROMPT}])},
        "prompt: a string → a list of blocks (the same text, written otherwise)",
    ),
    "a field of next year": Kind({}, {"verbosity": 3}, "verbosity: none → 3"),
}


@pytest.fixture
async def asked(tmp_path: Path) -> AsyncIterator[Asked]:
    asked = Asked(tmp_path / "responses")
    yield asked
    await asked.close()


def call_of(told: dict[str, Any], *, row: int = 1) -> tuple[Call, str]:
    """A call and its scope."""
    told = dict(told)
    betas, repeat = told.pop("betas", ()), told.pop("repeat", 0)
    scope = told.pop("scope", SCOPE)
    call = make_call(PROMPT, row=row, **told)
    prompt = replace(call.prompt, file="in.jsonl", line=row, betas=betas, repeat=repeat)
    return replace(call, prompt=prompt), scope


def question(told: dict[str, Any], *, row: int = 1) -> CacheQuestion:
    call, scope = call_of(told, row=row)
    body, prompt = decode(call.body), call.prompt
    return CacheQuestion(
        row=prompt.id,
        where=f"{prompt.file}:{prompt.line}",
        key=key_of(call, scope),
        request=AskedRequest(body, prompt.betas, prompt.repeat, place_of(scope)),
        digests=digests(body["messages"], row=row_name(call)),
        file=prompt.file,
    )


def why(asked: Asked, told: dict[str, Any], *, row: int = 1, **when: float) -> CacheWhy:
    with asked.reader() as cache:
        return explained(cache, question(told, row=row), **{"now": time.time(), **when})


@pytest.mark.parametrize("name", KINDS)
async def test_each_kind_of_difference_is_named_against_the_nearest_entry(name: str, asked: Asked):
    kind = KINDS[name]
    call, scope = call_of(kind.then)
    # Others beside it: another model, other prompts of the same template, other rows.
    far = make_call("Translate this into Greek.", row=77, system="Something else.")
    further, _ = call_of({**kind.then, "model": OPUS, "temperature": 0.31, "top_k": 3}, row=5)
    for one in ((call, scope), (far, SCOPE), (further, scope)):
        await asked.ask((one[0], make_reply()), scope=one[1])
    assert why(asked, kind.then).kind == "hit"
    found = why(asked, kind.now)
    assert found.kind == "nearest" and found.entry is not None
    assert found.entry.key == key_of(call, scope)
    told = [str(change) for change in found.changes]
    assert told[0] == kind.says, told
    assert len(told) == 1 or name == "a turn more"


async def test_an_answer_that_is_too_old_says_how_old(asked: Asked):
    await asked.ask((call_of({})[0], make_reply()), ttl_s=30 * 86400.0)
    later = time.time() + 41 * 86400 + 60
    found = why(asked, {}, now=later)
    assert (found.kind, found.reason) == ("expired", "answered 41 days ago, ttl 30 days")
    # Removed since: it is remembered.
    asked.sql("UPDATE Cache SET expire_time = store_time - 1")
    asked.sql("DELETE FROM Cache")
    assert why(asked, {}).kind == "expired"


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (make_reply(stop_reason="max_tokens"), "cut off at max_tokens"),
        (make_reply(stop_reason="model_context_window_exceeded"), "cut off at the model's window"),
        (make_reply(stop_reason="pause_turn"), "it paused its turn"),
        (make_reply(stop_reason="refusal"), "refused"),
        (replace(make_reply(), fits=False), "it did not fit its schema"),
        (replace(make_reply(), simulated=True), "made up by a simulator"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_an_answer_that_was_not_kept_says_why(reply: Any, says: str, asked: Asked):
    await asked.ask((call_of({})[0], reply))
    found = why(asked, {})
    assert found.kind == "not kept"
    assert found.reason.startswith(f"answered less than a minute ago, {says}")


async def test_an_answer_that_was_dropped_or_damaged_says_so(asked: Asked):
    await asked.ask((call_of({})[0], make_reply()))
    asked.sql("UPDATE Cache SET value = x'00'")
    assert why(asked, {}).kind == "damaged"
    asked.sql("DELETE FROM Cache")
    found = why(asked, {})
    assert (found.kind, found.reason) == (
        "dropped",
        "answered less than a minute ago, dropped less than a minute ago to make room (cache.size)",
    )


async def test_a_prompt_like_no_other_is_told_as_such(asked: Asked):
    other = make_call("Translate this letter into Greek, please, and keep its tone.", row=9)
    await asked.ask((other, make_reply()))
    await asked.keep(abc=make_reply().message)
    found = why(asked, {})
    assert (found.kind, found.entries, found.unread) == ("nothing like it", 2, 1)


async def test_an_edited_row_is_found_by_its_id_whatever_is_left_of_its_text(asked: Asked):
    await asked.ask((call_of({"messages": messages("Something entirely new.")})[0], make_reply()))
    found = why(asked, {})
    assert found.kind == "nearest" and found.changes[0].field == "prompt"
    # An id such as 1 in another file is no sign that it was the same row.
    asked.sql("UPDATE About SET file = NULL")
    assert why(asked, {}).kind == "nothing like it"


async def test_of_thousands_of_one_template_the_nearest_is_found(asked: Asked):
    calls = [call_of({"messages": messages(f"{PROMPT} Number {n}.")}, row=n)[0] for n in range(400)]
    await asked.ask(*((call, make_reply()) for call in calls))
    found = why(asked, {"messages": messages(f"{PROMPT} Number 17.\n")}, row=999)
    assert found.entry is not None and found.entry.key == key_of(calls[17])


async def test_the_same_prompt_at_other_settings_is_nearer_than_another_prompt(asked: Asked):
    other, _ = call_of({"messages": messages(PROMPT[:60] + " It never came, so no.")}, row=8)
    same, _ = call_of({"temperature": 0.3, "top_p": 0.9}, row=9)
    await asked.ask((other, make_reply()), (same, make_reply()))
    found = why(asked, {}, row=3)
    assert found.entry is not None and found.entry.key == key_of(same)


async def test_what_was_cut_of_a_large_request_is_no_difference(asked: Asked):
    long = [{"type": "text", "text": "A page. " * 20_000}, {"type": "text", "text": PROMPT}]
    await asked.ask((call_of({"messages": messages(long)})[0], make_reply()))
    found = why(asked, {"messages": messages(long), "temperature": 1})
    assert [str(change) for change in found.changes] == ["temperature: none → 1"]


async def test_a_row_of_a_run_that_is_over_is_explained_by_what_was_there_before(asked: Asked):
    then, now = call_of({})[0], call_of({"temperature": 1})[0]
    await asked.ask((then, make_reply()))
    asked.sql("UPDATE About SET stored = stored - 100")
    await asked.ask((now, make_reply()))
    with asked.reader() as cache:
        known = question_of(cache, CacheQuestion("row-1", "run 1", key_of(now), None, None))
        found = explained(cache, known, now=time.time(), before=time.time() - 50)
        first = question_of(cache, CacheQuestion("row-1", "run 1", key_of(then), None, None))
        before_all = explained(cache, first, now=time.time(), before=time.time() - 500)
    assert found.entry is not None and found.entry.key == key_of(then)
    assert [str(change) for change in found.changes] == ["temperature: none → 1"]
    assert before_all.kind == "nothing like it"


async def test_planted_requests_are_no_candidates(asked: Asked):
    await asked.ask((call_of({})[0], make_reply()))
    for form, body in ((0, b"[]"), (1, b"zip"), (0, None), (0, "text")):
        asked.sql("UPDATE AboutBody SET form = ?, body = ?", form, body)
        assert why(asked, {"temperature": 1}).kind == "nothing like it"


async def test_another_question_at_the_end_of_a_conversation_is_told_as_such(asked: Asked):
    said = ("Here is my essay about the sea.", "I have read it.")
    then, _ = call_of({"messages": turns(*said, "Who wrote it?")}, row=8)
    await asked.ask((then, make_reply()))
    found = why(asked, {"messages": turns(*said, "90 % of zebras can swim, can't they")}, row=3)
    assert found.entry is not None and found.entry.key == key_of(then)
    assert [change.field for change in found.changes] == ["message 3 (user)"]
    assert why(asked, {"messages": turns("Zebras?")}, row=3).kind == "nothing like it"


ODD: dict[str, Any] = {
    "messages": [
        5,
        {},
        [5],
        [{"role": "user"}],
        [{"content": 5}],
        [{"content": ["a"]}],
        [{"content": [{"type": "text", "text": 5}]}],
    ],
    "system": [5, {"a": 1}, ["a"], [{"type": "text", "text": ["a"]}]],
    "tools": [5, {"a": 1}, "text"],
    "output_config": [5, ["a"], "text"],
}


@pytest.mark.parametrize(("name", "value"), [(name, one) for name in ODD for one in ODD[name]])
async def test_imported_requests_of_no_form_are_no_candidates(name: str, value: Any, asked: Asked):
    await asked.ask((call_of({})[0], make_reply()))
    body = {**call_of({})[0].prompt.params, name: value}
    asked.sql("UPDATE AboutBody SET form = 0, body = ?", encode(body))
    assert why(asked, {"temperature": 1}).kind == "nothing like it"


async def test_kept_in_spite_of_being_cut_off_it_is_a_hit(asked: Asked):
    policy = CachePolicy(keep_max_tokens=True)
    await asked.ask((call_of({})[0], make_reply(stop_reason="max_tokens")), policy=policy)
    assert why(asked, {}).kind == "hit"


def test_equal_requests_differ_in_nothing_and_betas_have_no_order():
    body = decode(encode({"model": "m", "messages": messages("x")}))
    assert changes(AskedRequest(body, ("a", "b")), AskedRequest(body, ("b", "a"))) == []
