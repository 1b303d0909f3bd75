"""What the API would refuse, on the command line: refused before anything is sent, or
sent with a notice.
"""

import json

from tests.e2e.world import prompts
from tests.support import request_lines as corpus

RUN = ("run", "in.jsonl", "-o", "out.jsonl")
EMPTY = {"id": "bad", "messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]}


def test_all_lines_that_the_api_would_refuse_are_told_together_and_nothing_is_sent(world, api):
    schema = {"type": "json_schema", "schema": {"type": "object"}}
    lines = [EMPTY, {"prompt": "Hi", "output_config": {"format": schema}}, {"prompt": "Hi"}]
    world.write("in.jsonl", lines)
    done = world.claudebatch(*RUN)
    assert done.code == 2
    assert "in.jsonl:1: " in done.err and "in.jsonl:2: " in done.err
    assert "in.jsonl:3: " not in done.err
    assert '"messages[0].content[0].text" is empty' in done.err
    assert "additionalProperties" in done.err
    assert api.requests == 0


def test_no_check_sends_them_with_a_notice(world, api):
    world.write("in.jsonl", [*prompts(2), EMPTY])
    assert world.claudebatch(*RUN).code == 2
    done = world.claudebatch(*RUN, "--no-check")
    assert done.code == 1, done.err
    assert "1 line breaks the API's rules and is sent anyway (--no-check)" in done.err
    assert "in.jsonl:3: " in done.err
    assert api.requests == 3
    assert world.results()["bad"]["error"]["type"] == "invalid_request_error"
    # Without the option the line is refused again, and the answers are kept.
    assert world.claudebatch(*RUN).code == 2


def test_a_request_without_output_and_one_that_begins_with_the_assistant_are_served(world, api):
    talk = [{"role": "assistant", "content": "Hello."}, {"role": "user", "content": "Hi"}]
    lines = [{"id": "a", "prompt": "Hi", "max_tokens": 0}, {"id": "b", "messages": talk}]
    world.write("in.jsonl", lines)
    done = world.claudebatch(*RUN, "--budget", "1")
    assert done.code == 0, done.err
    results = world.results()
    assert results["a"]["stop_reason"] == "max_tokens"
    assert results["b"]["text"]


def test_a_member_in_beta_is_told_with_its_header_and_a_header_may_come_alone(world, api):
    line = {"prompt": "Hi", "context_management": {"edits": []}}
    world.write("in.jsonl", [line])
    done = world.claudebatch(*RUN)
    assert done.code == 2
    assert '"betas": ["context-management-2025-06-27"]' in done.err
    world.write("in.jsonl", [{"prompt": "Hi", "betas": ["context-1m-2025-08-07"]}])
    done = world.claudebatch(*RUN)
    assert done.code == 0, done.err


def test_run_and_estimate_leave_out_the_same_lines_and_send_none_of_them(world, api):
    wrong = [value for value, _ in (*corpus.BY_TYPE, *corpus.BY_RULE, *corpus.BY_MODEL)]
    world.write("in.jsonl", wrong)
    skip = ("in.jsonl", "--on-bad-row", "skip", "--json")
    estimated = json.loads(world.claudebatch("estimate", *skip).out)
    done = world.claudebatch("run", *skip, "-o", "out.jsonl")
    events = [json.loads(line) for line in done.out.splitlines()]
    named = [event["line"] for event in events if event["event"] == "line_left_out"]
    assert named == list(range(1, len(wrong) + 1))
    assert (estimated["rows"], estimated["bad_rows"]) == (0, len(wrong))
    assert (done.code, events[-1]["lines_left_out"], api.requests) == (1, len(wrong), 0)
