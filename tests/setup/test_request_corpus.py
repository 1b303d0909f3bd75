"""Every line of the corpus on its way into a run: what breaks the SDK's types or a
documented rule is refused before anything is sent, and nothing else is.
"""

import json
from datetime import UTC, datetime

import pytest

from claudebatch.core.jsonl import decode
from claudebatch.setup.run_setup import RunSetup
from claudebatch.setup.validate_input import Intake, InvalidInput
from tests.models.api_rules.read_sdk import typed_dicts
from tests.support import request_lines as corpus
from tests.support.sdk_types import NotSdkParams, check_body, check_typed
from tests.support.settings import settings_of

AT = datetime(2026, 11, 29, tzinfo=UTC)
TEXT, CALL = typed_dicts()["TextBlockParam"], typed_dicts()["ToolUseBlockParam"]
WRONG = [*corpus.BY_TYPE, *corpus.BY_RULE, *corpus.BY_MODEL]


def taken(tmp_path, value, *, check=True, at=AT):
    """The intake of the line *value*, and the bodies of what it lets through."""
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps(value) + "\n")
    run_setup = RunSetup.set_up(settings_of(), override=None, text=False, at=at, check=check)
    intake = Intake(run_setup, [path], limit=None)
    calls = []
    list(intake.records(lambda record, call: calls.append(call)))
    return intake, [decode(call.body) for call in calls]


def reasons(intake):
    return [f"{found.problem.reason}: {found.problem.fix}" for found in intake.bad]


def test_the_corpus_is_large():
    assert len(corpus.RIGHT) >= 100
    assert len(corpus.RIGHT) + len(WRONG) >= 280


@pytest.mark.parametrize("value", corpus.RIGHT, ids=lambda value: json.dumps(value)[:60])
def test_what_the_api_takes_leaves(tmp_path, value):
    intake, bodies = taken(tmp_path, value)
    assert reasons(intake) == []
    (body,) = bodies
    if "betas" not in json.dumps(value):
        check_body(body)


@pytest.mark.parametrize(("value", "reason"), WRONG, ids=lambda value: json.dumps(value)[:60])
def test_what_the_api_refuses_does_not_leave(tmp_path, value, reason):
    intake, bodies = taken(tmp_path, value)
    assert bodies == []
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
