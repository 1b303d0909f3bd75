"""Every line of the corpus on its way into a run: what breaks the SDK's types or a
documented rule is refused before anything is sent, and nothing else is.
"""

import base64
import json
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from claudebatch.core.errors import BadRow, NotServed
from claudebatch.core.jsonl import decode
from claudebatch.inputs import Defaults, parse_line
from claudebatch.setup.run_setup import RunSetup
from claudebatch.setup.uncappable import uncappable
from claudebatch.setup.validate_input import Intake, InvalidInput
from claudebatch.simulator.http import Request
from claudebatch.simulator.promptcache import PromptCache
from claudebatch.simulator.reading import RequestReader
from claudebatch.simulator.refusals import RefusedRequest
from tests.models.api_rules.examples import DATA, examples, mutants
from tests.models.api_rules.read_sdk import typed_dicts
from tests.support import request_lines as corpus
from tests.support.sdk_types import NotSdkParams, check_body, check_typed
from tests.support.settings import settings_of

AT = datetime(2026, 11, 29, tzinfo=UTC)
TEXT, CALL = typed_dicts()["TextBlockParam"], typed_dicts()["ToolUseBlockParam"]
PICTURE = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(1_000_000)).decode()
PAPER = {
    "type": "document",
    "source": {
        "type": "base64",
        "media_type": "application/pdf",
        "data": base64.b64encode(b"%PDF-1.7 " + bytes(20_000_000)).decode(),
    },
}
WRONG = [*corpus.BY_TYPE, *corpus.BY_RULE, *corpus.BY_MODEL]


def calls_of(tmp_path, value, *, check=True):
    """The calls of the line *value*."""
    return taken(tmp_path, value, check=check)[1]


def taken(tmp_path, value, *, check=True, at=AT, **config):
    """The intake of the line *value*, and the calls that it lets through."""
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps(value) + "\n")
    # The corpus names models of tomorrow: this is about what is asked of them.
    run_setup = RunSetup.set_up(
        settings_of(**config),
        override=None,
        at=at,
        lines=Defaults(max_tokens=settings_of().max_tokens, check=check),
        allow_unknown_model=True,
    )
    intake = Intake(run_setup, [path], limit=None)
    calls = []
    list(intake.records(lambda record, call: calls.append(call)))
    return intake, calls


def reasons(intake):
    return [f"{found.problem.reason}: {found.problem.fix}" for found in intake.bad]


def test_the_corpus_is_large():
    assert len(corpus.RIGHT) >= 100
    assert len(corpus.RIGHT) + len(WRONG) >= 280


@pytest.mark.parametrize("value", corpus.RIGHT, ids=lambda value: json.dumps(value)[:60])
def test_what_the_api_takes_leaves(tmp_path, value):
    intake, calls = taken(tmp_path, value)
    assert reasons(intake) == []
    (call,) = calls
    if not call.prompt.betas:
        check_body(decode(call.body))


@pytest.mark.parametrize(("value", "reason"), WRONG, ids=lambda value: json.dumps(value)[:60])
def test_what_the_api_refuses_does_not_leave(tmp_path, value, reason):
    intake, calls = taken(tmp_path, value)
    assert calls == []
    assert intake.bad.count == 1
    found = reasons(intake)
    assert any(reason in words for words in found), found
    # One mistake is told once, where it is.
    assert len(found) <= 2, found
    with pytest.raises(InvalidInput):
        intake.refuse()


@pytest.mark.parametrize("value", [value for value, _ in corpus.BY_TYPE], ids=str)
def test_the_lines_that_break_types_are_refused_by_the_sdks_own(value):
    with pytest.raises(NotSdkParams):
        check_body({"model": "m", **value["params"]}, strict=True)
        # The SDK also takes blocks of answers, and those with any member.
        for message in value["params"]["messages"]:
            for block in message["content"]:
                check_typed(TEXT if block["type"] == "text" else CALL, block)


def simulated(body, betas):
    """What the simulator says to *body*: its refusal, or None."""
    reader = RequestReader(seed=1, cache=PromptCache(), known=lambda model: True)
    headers = {"authorization": "Bearer k", "anthropic-version": "2026-10-21"}
    if betas:
        headers["anthropic-beta"] = ",".join(betas)
    request = Request("POST", "/v1/messages", headers, json.dumps(body).encode(), True)
    try:
        reader.read(request, 0.0)
    except RefusedRequest as refused:
        assert refused.status == 400
        return refused.message
    return None


@pytest.mark.parametrize("value", corpus.RIGHT, ids=lambda value: json.dumps(value)[:60])
def test_the_simulator_takes_what_the_api_takes(tmp_path, value):
    for call in calls_of(tmp_path, value):
        assert simulated(decode(call.body), call.prompt.betas) is None


@pytest.mark.parametrize(("value", "reason"), WRONG, ids=lambda value: json.dumps(value)[:60])
def test_what_is_sent_unchecked_is_refused_by_the_simulator(tmp_path, value, reason):
    for call in calls_of(tmp_path, value, check=False):
        assert simulated(decode(call.body), call.prompt.betas), reason


def test_most_of_what_is_refused_can_be_sent_unchecked(tmp_path):
    kept = [value for value, _ in WRONG if not calls_of(tmp_path, value, check=False)]
    # The rest has no form that any part of the program could read.
    assert len(kept) < len(WRONG) / 4


@pytest.mark.parametrize(
    ("model", "day", "refused"),
    [
        ("claude-opus-4-8", 29, False),
        ("claude-opus-4-8", 30, True),
        ("claude-opus-5", 30, False),
        ("claude-opus-4-7", 29, True),
    ],
)
def test_fast_mode_ends_by_day_and_model(tmp_path, model, day, refused):
    value = corpus.line(speed="fast", model=model)
    intake, calls = taken(tmp_path, value, at=datetime(2026, 11, day, tzinfo=UTC))
    assert (intake.bad.count, len(calls)) == (refused, not refused)


WORDS = "word " * 60_000
FALLBACK = {"fallbacks": {"claude-haiku-4-5": ["claude-haiku-5-5"]}}


@pytest.mark.parametrize(
    ("value", "config", "reason"),
    [
        # 300,000 tokens for a window of 200,000 and for one of a million.
        ({"prompt": WORDS * 5, "model": corpus.OLD}, {}, "claude-haiku-4-5 reads 200,000"),
        ({"prompt": WORDS * 5, "model": "claude-haiku-5-5"}, {}, None),
        ({"prompt": WORDS * 5, "model": corpus.OLD}, FALLBACK, None),
        ({"prompt": WORDS * 30, "model": corpus.OLD}, FALLBACK, "claude-haiku-5-5 reads 1,000,000"),
        ({"prompt": WORDS * 30, "model": "some-model-of-2028"}, {}, None),
        # Near the window only the API can tell.
        ({"prompt": WORDS * 3, "model": corpus.OLD}, {}, None),
        # Nobody knows how many pages a PDF of this size has.
        (corpus.said(PAPER, model=corpus.OLD), {}, None),
        # An image is no text: its bytes are no tokens.
        (corpus.said(corpus.image("image/png", PICTURE), model=corpus.OLD), {}, None),
        (corpus.said(*[corpus.image("image/png", PICTURE)] * 26, model=corpus.OPUS), {}, "32"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_certainly_too_large_is_refused(tmp_path, value, config, reason):
    intake, calls = taken(tmp_path, value, **config)
    found = reasons(intake)
    assert (found == []) == (reason is None) == bool(calls)
    assert reason is None or reason in found[0]


def test_a_text_that_grows_in_json_is_measured_as_it_is_sent(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"\x01" * 6_000_000)
    run_setup = RunSetup.set_up(
        settings_of(), override=corpus.OPUS, at=AT, lines=Defaults(max_tokens=100, text=True)
    )
    intake = Intake(run_setup, [path], limit=None)
    assert list(intake.records()) == []
    assert "34.3 MB" in reasons(intake)[0]


@pytest.mark.parametrize(
    ("beta", "params"),
    [
        ("server-side-fallback-2026-07-01", {"fallbacks": "default"}),
        ("compact-2026-09-04", {"compaction": {"type": "summarize"}}),
        (
            "context-management-2025-06-27",
            {"context_management": {"edits": [{"type": "compact_20260112"}]}},
        ),
        (
            "mcp-client-2025-11-20",
            {
                "mcp_servers": [{"type": "url", "name": "m", "url": "https://example.com"}],
                "tools": [{"type": "mcp_toolset", "mcp_server_name": "m"}],
            },
        ),
    ],
)
def test_under_a_cap_no_beta_may_ask_a_model_without_a_bound(tmp_path, beta, params):
    value = corpus.line(betas=[beta], **params)
    assert taken(tmp_path, value)[0].bad.count == 0
    intake, calls = taken(tmp_path, value, budget=1)
    assert (len(calls), intake.bad.count) == (0, 1)
    assert "with a budget" in reasons(intake)[0]
    # The cap comes before what the user wants to try.
    intake, calls = taken(tmp_path, value, budget=1, check=False)
    assert (len(calls), intake.bad.count) == (0, 1)


def test_lines_that_are_sent_unchecked_are_counted_with_their_reasons(tmp_path):
    intake, calls = taken(tmp_path, corpus.said(corpus.text("")), check=False)
    assert (len(calls), intake.bad.count, intake.sent_anyway.count) == (1, 0, 1)
    assert [found.problem.reason for found in intake.sent_anyway] == [
        '"messages[0].content[0].text" is empty (in an Anthropic batch line)'
    ]
    intake, calls = taken(tmp_path, {"prompt": 5}, check=False)
    assert (len(calls), intake.bad.count, intake.sent_anyway.count) == (0, 1, 0)
    intake, calls = taken(tmp_path, corpus.line(), check=False)
    assert (len(calls), intake.sent_anyway.count) == (1, 0)


def _odd_lines():
    """Lines with one thing wrong at any depth, as --no-check lets them through."""
    for name, (kind, _) in DATA["params"].items():
        if name not in ("model", "max_tokens"):
            for value in examples(kind):
                yield from (corpus.line(**{name: wrong}) for wrong in mutants(value))
    for _, block in DATA["types"]["UserMessageParam"]["content"][0][2][1][1:]:
        for value in examples(["ref", block]):
            for wrong in mutants(value):
                yield corpus.said(wrong)
                yield corpus.talk(corpus.USER, {"role": "assistant", "content": [wrong]})


def test_whatever_is_sent_unchecked_can_be_routed_measured_and_handed_on():
    rule = {"name": "r", "when": {"prompt_matches": "x", "has_images": True}, "model": corpus.OLD}
    run_setup = RunSetup.set_up(
        settings_of(routes=[rule], budget=1),
        override=None,
        at=AT,
        lines=Defaults(max_tokens=100, check=False),
    )
    built = 0
    for value in _odd_lines():
        data = json.dumps(value).encode()
        with suppress(BadRow, NotServed):
            prompt = parse_line(data, run_setup.defaults, file="f", line=1)
            uncappable(prompt, corpus.OPUS, run_setup.prices)
            call = run_setup.builder.first(0, prompt)
            built += 1
            for model in (corpus.OLD, corpus.OPUS):
                run_setup.builder.hop(call, model)
    assert built > 3_000
