"""The same command again continues: what is finished is kept, what is missing is done,
nothing is paid for twice.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
from decimal import Decimal

import pytest

from claudebatch.core.domain import to_usd
from tests.e2e.world import prompts

RUN = ("run", "in.jsonl", "-o", "out.jsonl")


def test_a_finished_run_sends_nothing_and_writes_nothing(world, api):
    world.write("in.jsonl", prompts(5))
    assert world.claudebatch(*RUN).code == 0
    before = world.path("out.jsonl").read_bytes()
    stamp = world.path("out.jsonl").stat().st_mtime_ns
    again = world.claudebatch(*RUN)
    assert (again.code, api.requests) == (0, 5)
    assert (world.path("out.jsonl").read_bytes(), world.path("out.jsonl").stat().st_mtime_ns) == (
        before,
        stamp,
    )
    assert "nothing to do: all 5 rows are done" in again.err


def test_without_o_the_results_lie_beside_the_input(world, api):
    world.write("questions.jsonl", prompts(2))
    assert world.claudebatch("run", "questions.jsonl").code == 0
    assert len(world.results("questions.results.jsonl")) == 2


def test_failed_rows_stay_failed_until_they_are_asked_for(world, api):
    rows = [*prompts(3), {"id": "bad", "prompt": "no [[simulate: error 400]]"}]
    world.write("in.jsonl", rows)
    first = world.claudebatch(*RUN)
    assert first.code == 1
    assert "3 ok · 1 failed" in first.err
    assert "next      jq -c" in first.err, "the API would refuse it again"
    failed = world.results()["bad"]
    assert failed["status"] == "failed"
    assert failed["error"]["type"] == "invalid_request_error"
    assert (failed["error"]["status"], failed["error"]["retryable"], failed["attempts"]) == (
        400,
        False,
        1,
    )
    assert "text" not in failed

    assert world.claudebatch(*RUN).code == 1
    assert api.requests == 4, "a row that failed for its own fault is not paid for again by itself"
    assert world.claudebatch(*RUN, "--retry-failed").code == 1
    assert api.requests == 5
    assert len(world.results()) == 4, "the new failure takes the place of the old one"


def test_retry_failed_puts_the_answer_in_the_place_of_the_failure(world, serve):
    api = serve(script=("404",))
    world.write("in.jsonl", prompts(1))
    assert world.claudebatch(*RUN).code == 1
    done = world.claudebatch(*RUN, "--retry-failed")
    assert (done.code, api.requests) == (0, 2)
    assert world.results()["row-0"]["status"] == "succeeded"
    assert world.claudebatch(*RUN).code == 0
    assert api.requests == 2


def test_edited_rows_run_again_and_their_old_results_go(world, api):
    rows = prompts(4)
    world.write("in.jsonl", rows)
    world.claudebatch(*RUN)
    rows[2]["prompt"] = "something else"
    world.write("in.jsonl", rows)
    again = world.claudebatch(*RUN)
    assert (again.code, api.requests) == (0, 5)
    assert "1 row was edited since the answer came" in again.err
    assert "something else" in world.results()["row-2"]["text"]
    assert len(world.results()) == 4


def test_an_edit_that_is_taken_back_costs_nothing(world, api):
    rows = prompts(3)
    world.write("in.jsonl", rows)
    world.claudebatch(*RUN)
    world.write("in.jsonl", [*rows[:2], {"id": "row-2", "prompt": "else"}])
    world.claudebatch(*RUN)
    world.write("in.jsonl", rows)
    assert world.claudebatch(*RUN).code == 0
    assert api.requests == 4
    assert "row-2" in world.results()["row-2"]["text"]


def test_removed_rows_are_reported_and_left_out(world, api):
    world.write("in.jsonl", prompts(5))
    world.claudebatch(*RUN)
    world.write("in.jsonl", prompts(3))
    again = world.claudebatch(*RUN, "--yes")
    assert (again.code, api.requests) == (0, 5)
    assert "2 answered rows are no longer in the input" in again.err
    assert sorted(world.results()) == ["row-0", "row-1", "row-2"]


def test_rows_that_are_moved_or_added_cost_only_what_is_new(world, api):
    plain = [f"prompt {n}" for n in range(4)]
    world.write("in.jsonl", plain)
    world.claudebatch(*RUN)
    before = world.results()
    world.write("in.jsonl", ["new", *reversed(plain)])
    assert world.claudebatch(*RUN).code == 0
    assert api.requests == 5
    after = world.results()
    for name, row in before.items():
        assert after[name] == {**row, "line": 6 - row["line"]}


def test_a_torn_last_line_is_mended_at_every_place_it_can_be_torn(world, api):
    world.write("in.jsonl", prompts(3))
    world.claudebatch(*RUN)
    path = world.path("out.jsonl")
    whole = path.read_bytes()
    starts = [0, whole.index(b"\n") + 1, whole.rindex(b"\n", 0, -1) + 1]
    for cut in [
        0,
        1,
        *starts,
        starts[2] - 1,
        starts[2] + 1,
        starts[2] + 200,
        len(whole) - 2,
        len(whole) - 1,
    ]:
        path.write_bytes(whole[:cut])
        assert world.claudebatch(*RUN).code == 0
        assert path.read_bytes() == whole, f"cut at {cut}"
    assert api.requests == 3


def test_a_torn_line_is_said_to_be_mended(world, api):
    world.write("in.jsonl", prompts(2))
    world.claudebatch(*RUN)
    path = world.path("out.jsonl")
    path.write_bytes(path.read_bytes()[:-10])
    assert "ended in an incomplete line; it was repaired" in world.claudebatch(*RUN).err


def test_an_answer_that_was_received_and_not_yet_shown_is_shown_and_not_asked_again(world, api):
    """What is left when death comes between the commit of an answer and that of its
    result.
    """
    world.write("in.jsonl", prompts(4))
    world.claudebatch(*RUN, "--no-cache")
    before = world.path("out.jsonl").read_bytes()
    journal = sqlite3.connect(world.path("out.jsonl.claudebatch") / "journal.sqlite")
    with contextlib.closing(journal), journal:
        journal.execute("DELETE FROM results WHERE n > 2")
    world.path("out.jsonl").write_bytes(b"".join(before.splitlines(keepends=True)[:2]))
    again = world.claudebatch(*RUN, "--no-cache")
    assert (again.code, api.requests) == (0, 4)
    assert world.path("out.jsonl").read_bytes() == before


def test_a_deleted_output_is_written_again_without_a_request(world, api):
    world.write("in.jsonl", prompts(4))
    world.claudebatch(*RUN)
    before = world.path("out.jsonl").read_bytes()
    world.path("out.jsonl").unlink()
    again = world.claudebatch(*RUN)
    assert (again.code, api.requests) == (0, 4)
    assert world.path("out.jsonl").read_bytes() == before
    assert "4 results were missing" in again.err


@pytest.mark.parametrize("edit", ["append", "change", "replace"])
def test_an_edited_output_is_set_aside_and_not_lost(world, api, edit):
    world.write("in.jsonl", prompts(3))
    world.claudebatch(*RUN)
    path = world.path("out.jsonl")
    before = path.read_bytes()
    edited = {
        "append": before + b"my note\n",
        "change": before.replace(b"row-1", b"row-X"),
        "replace": b"mine\n",
    }[edit]
    path.write_bytes(edited)
    again = world.claudebatch(*RUN)
    assert (again.code, api.requests) == (0, 3)
    assert path.read_bytes() == before
    assert world.path("out.jsonl.edited-1").read_bytes() == edited
    assert "was edited: your version is saved as" in again.err


def test_a_file_that_is_no_result_of_ours_is_never_overwritten(world, api):
    world.write("in.jsonl", prompts(2))
    world.path("out.jsonl").write_text("my thesis\n")
    refused = world.claudebatch(*RUN)
    assert (refused.code, api.requests) == (2, 0)
    assert "not from a run that can be resumed" in refused.err
    assert world.path("out.jsonl").read_text() == "my thesis\n"
    assert world.claudebatch(*RUN, "--fresh").code == 0
    assert world.path("out.jsonl.previous").read_text() == "my thesis\n"
    assert len(world.results()) == 2


def test_input_and_output_may_not_be_the_same_file(world, api):
    path = world.write("in.jsonl", prompts(2))
    before = path.read_bytes()
    os.link(path, world.path("link.jsonl"))
    for output in ("in.jsonl", "./in.jsonl", "link.jsonl"):
        for more in ((), ("--fresh",)):
            refused = world.claudebatch("run", "in.jsonl", "-o", output, *more)
            assert (refused.code, api.requests) == (2, 0)
            assert "is both input and output" in refused.err
    assert path.read_bytes() == before


def test_fresh_starts_over_and_keeps_the_old_results_as_previous(world, api):
    world.write("in.jsonl", prompts(3))
    world.claudebatch(*RUN)
    before = world.path("out.jsonl").read_bytes()
    assert world.claudebatch(*RUN, "--fresh", "--no-cache").code == 0
    assert api.requests == 6
    assert world.path("out.jsonl.previous").read_bytes() == before
    assert len(world.results()) == 3


def test_limit_does_the_first_rows_and_the_full_run_the_rest(world, api):
    world.write("in.jsonl", prompts(6))
    first = world.claudebatch(*RUN, "-n", "2")
    assert (first.code, api.requests) == (0, 2)
    assert sorted(world.results()) == ["row-0", "row-1"]
    assert "2 of 2 done: 2 ok" in first.err
    assert world.claudebatch(*RUN, "-n", "4").code == 0
    assert api.requests == 4
    assert world.claudebatch(*RUN).code == 0
    assert api.requests == 6
    assert len(world.results()) == 6
    shrunk = world.claudebatch(*RUN, "-n", "2")
    assert (shrunk.code, api.requests) == (0, 6)
    assert len(world.results()) == 6, "a smaller limit takes no answer away"


def test_other_settings_do_not_ask_answered_rows_again(world, api):
    world.write("in.jsonl", prompts(3))
    world.claudebatch(*RUN, "-n", "2")
    assert (
        world.claudebatch(
            *RUN, "-m", "claude-haiku-5-5", "-s", "Be brief.", "--max-tokens", "99"
        ).code
        == 0
    )
    models = {id_: line["model"] for id_, line in world.results().items()}
    assert models == {
        "row-0": "claude-sonnet-5-5",
        "row-1": "claude-sonnet-5-5",
        "row-2": "claude-haiku-5-5",
    }
    assert api.requests == 3
    assert (api.bodies[-1]["system"], api.bodies[-1]["max_tokens"]) == ("Be brief.", 99)


def test_an_input_file_that_is_gone_is_said_to_be(world, api):
    missing = world.claudebatch("run", "nowhere.jsonl", "-o", "out.jsonl")
    assert (missing.code, api.requests) == (2, 0)
    assert "nowhere.jsonl" in missing.err
    assert not world.path("out.jsonl.claudebatch").exists()


def test_spend_of_all_sessions_is_the_bill(world, api):
    world.write("in.jsonl", prompts(6))
    world.claudebatch(*RUN, "-n", "2")
    world.claudebatch(*RUN, "-n", "4")
    world.claudebatch(*RUN)
    billed = api.stats()["billed_pico"]
    assert world.settled() == billed
    assert world.ledger() == (billed, 0)
    told = json.loads(world.claudebatch("spend", "--json").out)
    assert [Decimal(line["spent_usd"]) for line in told["lines"]] == [to_usd(billed)]


class TestTwoLiveRuns:
    def test_the_second_run_on_an_output_exits_7_and_names_the_first(self, processes, serve):
        world = processes
        api = serve(latency="fixed:30")
        world.write("in.jsonl", prompts(2))
        first = world.launch(*RUN)
        world.until(lambda: api.requests == 2)
        second = world.claudebatch(*RUN)
        assert second.code == 7
        assert f"process {first.pid} " in second.err
        assert "started 20" in second.err
        assert api.requests == 2
        other = world.launch("run", "in.jsonl", "-o", "other.jsonl", "--no-cache")
        world.until(lambda: api.requests == 4)
        assert (first.running, other.running) == (True, True), "another output is another run"

    def test_the_lock_of_a_dead_run_is_free_without_a_manual_step(self, processes, serve):
        world = processes
        api = serve(latency="fixed:30")
        world.write("in.jsonl", prompts(2))
        first = world.launch(*RUN)
        world.until(lambda: api.requests == 2)
        first.send(signal.SIGKILL)
        assert first.wait().code == -signal.SIGKILL
        api = serve()
        done = world.claudebatch(*RUN)
        assert (done.code, api.requests) == (0, 2)
        assert "2 requests were in flight when this run was killed" in done.err
        assert "maybe billed" in done.err
