"""Attacks from below and outside: full disks, ledgers that break, words that no file
can hold, keys in messages.
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from claudebatch.storage.ledger import LedgerWriter
from claudebatch.storage.results_file import FileOutput
from tests.e2e.world import prompts

RUN = ("run", "in.jsonl", "-o", "out.jsonl")


class Stranger:
    """An API that answers every request with the same bytes."""

    def __init__(self, world, status, body, **headers):
        self.requests = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                outer.requests += 1
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(status)
                self.send_header("content-type", "application/json")
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        world.point_at(f"http://127.0.0.1:{self._server.server_port}", key="sk-ant-secret")

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def stranger(world):
    made = []

    def start(*args, **headers):
        made.append(Stranger(world, *args, **headers))
        return made[-1]

    yield start
    for one in made:
        one.close()


@pytest.mark.parametrize(
    "error",
    [
        {"type": "invalid_request_error", "message": "half a \ud800 character"},
        {"type": "odd \ud800", "message": "x"},
        {"type": ["a", "list"], "message": {"a": "map"}},
        {"type": 7, "message": None},
        "no object",
        None,
    ],
)
def test_an_error_in_strange_words_fails_its_row_only(world, stranger, error):
    stranger(400, json.dumps({"type": "error", "error": error}).encode())
    world.write("in.jsonl", prompts(3))
    done = world.claudebatch(*RUN)
    assert done.code == 1, done.err
    assert len(world.results()) == 3


MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-5-5",
    "stop_sequence": None,
    "content": [{"type": "text", "text": "ok"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 9, "output_tokens": 1},
}


@pytest.mark.parametrize(
    "more",
    [
        {"content": [{"type": "text", "text": "half \ud800"}]},
        {"model": "half \ud800"},
        {"id": "a\u0000b", "stop_reason": "x\u0000y"},
        {
            "usage": {
                "input_tokens": 10**9,
                "output_tokens": 10**9,
                "cache_read_input_tokens": 10**9,
            }
        },
        {"usage": {"input_tokens": 10**30, "output_tokens": 1}},
        {"usage": {"input_tokens": -5, "output_tokens": -5}},
    ],
)
def test_a_strange_message_never_crashes_the_run(world, stranger, more):
    stranger(200, json.dumps({**MESSAGE, **more}).encode())
    world.write("in.jsonl", prompts(2))
    done = world.claudebatch(*RUN, "--max-outage", "1s")
    assert done.code in (0, 1, 5), done.err
    spent, held = world.ledger()
    assert spent >= 0 and held >= 0


@pytest.mark.parametrize(
    "key", ["sk-ant-secret\n", "sk-ant-secret\nx-evil: 1", "sk-ant-sécret", "sk-ant-secret\x00"]
)
def test_a_key_that_no_header_can_hold_is_told_nowhere(world, api, key):
    if "\x00" in key:
        pytest.skip("no environment holds it")
    world.environment["ANTHROPIC_API_KEY"] = key
    world.write("in.jsonl", prompts(2))
    done = world.claudebatch(*RUN, "--max-outage", "1s")
    assert done.code in (0, 4, 2), (done.code, done.err)
    for path in world.files():
        if path.is_file():
            assert b"sk-ant" not in path.read_bytes(), path
    assert "sk-ant" not in done.out + done.err


def test_a_ledger_that_breaks_loses_no_answer_and_ends_with_6(processes, serve):
    world = processes
    api = serve(held_after=10)
    world.write("in.jsonl", prompts(60))
    process = world.launch(*RUN, "-j", "8", "--no-cache")
    world.until(lambda: api.requests > 10)
    ledger = world.home / "state" / "spend.sqlite"
    with sqlite3.connect(ledger) as connection:
        connection.execute(
            "CREATE TRIGGER broken BEFORE UPDATE ON spend BEGIN SELECT raise(ABORT, 'broken'); END"
        )
        connection.execute(
            "CREATE TRIGGER broken2 BEFORE INSERT ON spend BEGIN SELECT raise(ABORT, 'broken'); END"
        )
    connection.close()
    api.release()
    done = process.wait()
    assert done.code == 6, (done.code, done.err)
    with sqlite3.connect(ledger) as connection:
        connection.execute("DROP TRIGGER broken")
        connection.execute("DROP TRIGGER broken2")
    connection.close()
    assert world.claudebatch(*RUN, "--no-cache").code == 0
    assert api.requests == 60
    assert len(world.results()) == 60
    assert world.ledger()[0] == api.stats()["billed_pico"]


def _limited(world, count, *arguments):
    code = (
        "import resource, sys; from claudebatch.__main__ import main;"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({count}, {count})); main()"
    )
    # Truncated .pyc files would outlive the test.
    environment = {
        **world.environment,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=world.work,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )


@pytest.mark.parametrize("size", [20_000, 70_000, 120_000, 300_000])
def test_a_full_disk_ends_with_6_and_nothing_is_lost(world, serve, size):
    api = serve(latency="uniform:0.01,0.05")
    world.write("in.jsonl", prompts(300))
    done = _limited(world, size, *RUN, "-j", "8", "--no-cache")
    assert done.returncode == 6, (done.returncode, done.stderr)
    answered = world.path("out.jsonl.claudebatch").exists() and api.requests
    assert world.claudebatch(*RUN, "--no-cache").code == 0
    assert len(world.results()) == 300
    if answered:
        unknown = world.query("SELECT count(*) FROM attempts WHERE state = 3")[0][0]
        assert api.requests <= 300 + unknown
        settled, billed = world.settled(), api.stats()["billed_pico"]
        (worst,) = world.query("SELECT coalesce(sum(worst), 0) FROM attempts WHERE state = 3")[0]
        assert settled <= billed <= settled + worst
        assert unknown <= 8


@pytest.mark.parametrize(
    ("kind", "error", "told"),
    [
        (FileOutput, OSError(errno.EIO, "Input/output error"), "[E707]"),
        (LedgerWriter, sqlite3.OperationalError("disk I/O error"), "[E708]"),
    ],
)
def test_a_disk_that_fails_at_the_last_moment_ends_with_6_and_the_next_session_is_whole(
    world, api, monkeypatch, kind, error, told
):
    world.write("in.jsonl", prompts(3))
    whole = kind.close

    def fails(file) -> None:
        whole(file)
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(kind, "close", fails)
        done = world.claudebatch(*RUN)
    assert (done.code, told in done.err) == (6, True), done.err
    assert world.claudebatch(*RUN).code == 0
    assert (len(world.results()), api.requests) == (3, 3)


def test_429_for_ever_ends_as_an_outage(processes, serve):
    world = processes
    serve(faults={"429": 1.0})
    world.write("in.jsonl", prompts(3))
    process = world.launch(*RUN, "--max-outage", "0.5s")
    assert process.wait().code == 5
