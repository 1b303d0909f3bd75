"""`--log` from the command line: one line per request, complete however the run ends,
and never the key.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import stat
from urllib.parse import quote, quote_plus

import pytest

from tests.e2e.world import prompts

CANARY = "sk-ant-CANARY-9f3b/7c+21d~5e8"
RUN = ("run", "in.jsonl", "-o", "out.jsonl", "--log", "run.log")


def lines(world, event=None):
    told = [json.loads(line) for line in world.path("run.log").read_text().splitlines()]
    return [line for line in told if event in (None, line["event"])]


def attempts_of_the_journal(world):
    rows = world.query("SELECT attempt, model, cost, request_id FROM attempts ORDER BY attempt")
    return [(attempt, model, cost, request_id) for attempt, model, cost, request_id in rows]


def test_every_request_has_a_line_that_agrees_with_the_journal(world, api):
    world.write("in.jsonl", [*prompts(20), {"id": "bad", "prompt": "[[simulate: error 400]]"}])
    assert world.claudebatch(*RUN).code == 1
    told = sorted(lines(world, "attempt"), key=lambda line: line["attempt"])
    found = [
        (t["attempt"], t["model"], round(float(t["cost_usd"]) * 10**12), t["request_id"])
        for t in told
    ]
    journal = attempts_of_the_journal(world)
    assert [line[:3] for line in found] == [row[:3] for row in journal]
    assert {line[3] for line in found if line[3]} >= {row[3] for row in journal if row[3]}
    assert {t["id"] for t in told} == {row["id"] for row in world.results().values()}
    (bad,) = [t for t in told if t["id"] == "bad"]
    assert (bad["status"], bad["error"]) == (400, "invalid_request_error")
    start, end = lines(world)[0], lines(world)[-1]
    assert (start["event"], start["rows"], end["event"], end["exit_code"]) == (
        "start",
        21,
        "end",
        1,
    )
    assert {line["run"] for line in lines(world)} == {start["run"]}


def test_retries_and_breakers_are_told_between_the_requests(world, serve):
    world.configure("breaker: {minimum_calls: 3, wait_open_s: 0.05}\n")
    serve(script=("529",) * 6)
    world.write("in.jsonl", prompts(8))
    assert world.claudebatch(*RUN).code == 0
    failed = [line for line in lines(world, "attempt") if line["error"]]
    assert {(line["status"], line["error"]) for line in failed} == {(529, "overloaded_error")}
    assert {line["state"] for line in lines(world, "breaker")} >= {"open", "half-open"}
    assert {line["id"] for line in lines(world, "retry")} <= {f"row-{n}" for n in range(8)}
    assert all(line["seconds"] > 0 for line in lines(world, "retry"))


def test_a_second_session_appends_and_what_comes_from_the_journal_has_no_line(world, api):
    world.write("in.jsonl", prompts(3))
    world.claudebatch(*RUN)
    before = world.path("run.log").read_bytes()
    world.claudebatch(*RUN)
    assert world.path("run.log").read_bytes().startswith(before)
    assert (len(lines(world, "attempt")), len(lines(world, "start")), len(lines(world, "end"))) == (
        3,
        2,
        2,
    )


def test_prompts_and_answers_are_logged_on_demand_only(world, api):
    world.write("in.jsonl", [{"id": "a", "prompt": "a secret of my own"}])
    world.claudebatch(*RUN)
    assert "secret of my own" not in world.path("run.log").read_text()
    world.claudebatch(*RUN, "--log-prompts", "--fresh", "--no-cache")
    told = lines(world, "attempt")[-1]
    assert told["request"]["messages"][0]["content"] == "a secret of my own"
    assert told["answer"] == world.results()["a"]["message"]


@pytest.mark.parametrize(
    "place", ["in.jsonl", "out.jsonl", "out.jsonl.claudebatch/log", "claudebatch.yaml", "other"]
)
def test_a_file_that_is_something_else_is_refused_before_anything_is_sent(world, api, place):
    world.write("in.jsonl", prompts(1))
    world.path("other").write_text("precious")
    before = {path: path.read_bytes() for path in world.files() if path.is_file()}
    done = world.claudebatch("run", "in.jsonl", "-o", "out.jsonl", "--log", place)
    assert (done.code, api.requests) == (2, 0)
    assert place in done.err
    assert {path: path.read_bytes() for path in world.files() if path.is_file()} == before


def test_prompts_without_a_log_are_a_mistake_that_is_named(world, api):
    world.write("in.jsonl", prompts(1))
    done = world.claudebatch("run", "in.jsonl", "--log-prompts")
    assert (done.code, api.requests) == (2, 0)
    assert "--log FILE" in done.err


def test_a_dry_run_logs_nothing(world, api):
    world.write("in.jsonl", prompts(1))
    assert world.claudebatch(*RUN, "--dry-run").code == 0
    assert not world.path("run.log").exists()


@pytest.mark.parametrize("more", [(), ("-v",), ("--json",)], ids=str)
def test_a_log_on_a_full_disk_costs_one_warning_and_no_row(world, api, monkeypatch, more):
    monkeypatch.setattr(
        "claudebatch.cli.wiring.display.open_log",
        lambda *_, **__: os.open("/dev/full", os.O_WRONLY),
    )
    world.write("in.jsonl", prompts(30))
    done = world.claudebatch(*RUN, *more)
    assert (done.code, len(world.results())) == (0, 30)
    assert (done.out + done.err).count("the log cannot be written (No space left on device)") == 1


def test_a_log_whose_last_write_fails_is_told_of_before_the_summary(world, api, monkeypatch):
    monkeypatch.setattr(
        "claudebatch.cli.wiring.display.open_log",
        lambda *_, **__: os.open("/dev/full", os.O_WRONLY),
    )
    monkeypatch.setattr("claudebatch.ui.machine.run_log._INTERVAL_S", 3600)
    world.write("in.jsonl", prompts(1))
    before, _, after = world.claudebatch(*RUN).err.partition("the log cannot be written")
    assert "rows " not in before
    assert "rows " in after


def test_a_log_that_is_closed_under_us_costs_one_warning_and_no_row(world, api, monkeypatch):
    # A descriptor that takes no write: EBADF.
    monkeypatch.setattr(
        "claudebatch.cli.wiring.display.open_log",
        lambda *_, **__: os.open("/dev/null", os.O_RDONLY),
    )
    world.write("in.jsonl", prompts(30))
    done = world.claudebatch(*RUN)
    assert (done.code, len(world.results())) == (0, 30)
    assert done.err.count("the log cannot be written (Bad file descriptor)") == 1


def test_the_log_is_whole_and_private_after_a_signal(processes, serve):
    world = processes
    api = serve(latency="fixed:0.2")
    world.write("in.jsonl", prompts(400))
    process = world.launch(*RUN, umask=0)
    world.until(lambda: api.requests >= 20)
    process.send(signal.SIGINT)
    assert process.wait().code == 130
    assert stat.S_IMODE(world.path("run.log").stat().st_mode) == 0o600
    assert len(lines(world, "attempt")) == len(attempts_of_the_journal(world))
    assert [line["reason"] for line in lines(world, "drain")] == [
        "interrupted (Ctrl-C again stops at once)"
    ]
    assert lines(world, "end")[0]["exit_code"] == 130


def test_the_log_is_whole_after_a_crash_of_the_run(world, api, monkeypatch):
    from claudebatch.clients.client import ClaudeClient

    ask = ClaudeClient.__call__

    async def broken(self, call):
        if call.prompt.id == "row-7":
            raise RuntimeError("a bug")
        return await ask(self, call)

    monkeypatch.setattr(ClaudeClient, "__call__", broken)
    world.write("in.jsonl", prompts(8))
    assert world.claudebatch(*RUN, "-j", "1").code == 70
    told = lines(world, "attempt")
    assert len(told) == len(attempts_of_the_journal(world))
    assert (told[-1]["id"], told[-1]["error"], told[-1]["unknown"]) == (
        "row-7",
        "RuntimeError",
        True,
    )
    assert lines(world, "end") == []


def spellings():
    plain = CANARY.encode()
    yield from (
        plain,
        plain[:-6],
        plain.hex().encode(),
        quote(CANARY, safe="").encode(),
        quote_plus(CANARY).encode(),
    )
    for code in (base64.b64encode, base64.urlsafe_b64encode):
        yield from (code(b"x" * shift + plain)[4:-4] for shift in range(3))


def leaks(world, *texts):
    written = [(str(path), path.read_bytes()) for path in world.files() if path.is_file()]
    said = [(f"text {number}", text.encode()) for number, text in enumerate(texts)]
    # Also where it is split over lines, or its slashes are escaped.
    joined = [
        (name, data.replace(b"\n", b"").replace(b"\\/", b"/")) for name, data in [*written, *said]
    ]
    return sorted(
        {name for name, data in [*written, *said, *joined] if any(s in data for s in spellings())}
    )


@pytest.mark.parametrize(
    "more", [("-vv",), ("-vv", "--log-prompts"), ("-vvv", "--json")], ids=" ".join
)
@pytest.mark.parametrize(
    "script",
    [
        ("529", "reset", "cut", "html", "empty", "429", "500", "404"),
        ("401",),
        ("403",),
        ("529",) * 60,
    ],
    ids=["all", "401", "403", "outage"],
)
def test_the_key_is_in_no_log_at_any_level_whatever_fails(world, serve, script, more):
    world.configure("breaker: {minimum_calls: 3, wait_open_s: 0.05}\n")
    api = serve(script=script, retry_after=0.01)
    world.point_at(api.url, key=CANARY)
    world.write("in.jsonl", prompts(12))
    done = world.claudebatch(*RUN, *more, "--max-outage", "0.2s")
    assert len(lines(world, "attempt")) >= 1
    assert leaks(world, done.out, done.err) == []


def test_the_search_for_the_key_would_find_it(world):
    for text in (
        CANARY,
        CANARY.replace("/", "\\/"),
        CANARY[:9] + "\n" + CANARY[9:],
        quote_plus(CANARY),
    ):
        assert leaks(world, f"oops {text} oops") == ["text 0"]
    for code in (base64.b64encode, base64.urlsafe_b64encode):
        assert leaks(world, f"oops {code(b'key:' + CANARY.encode() + b':zz').decode()}") == [
            "text 0"
        ]
