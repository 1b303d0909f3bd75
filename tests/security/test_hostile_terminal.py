"""Nobody steers the terminal: not by ids, prompts, answers, errors, headers, names,
settings or options.
"""

from __future__ import annotations

import http.client
import json
import signal

import pytest

from tests.security.screen import attacks, seen
from tests.security.stranger import Said, error, message
from tests.support.hostile import HOSTILE

EVIL = "".join(HOSTILE)
WHOLE = EVIL.replace("\ud800", "").replace("\udfff", "")
"""What JSON may hold."""
NAME = WHOLE.replace("\x00", "").replace("/", "")[:60]
"""What a file may be called and an argument may hold."""
HEADER = "req\x9b31m\x9d0;x\x9c\xe2\x80\xae"
"""What an HTTP library still takes for a header's value: no C0, but C1 and the bytes of
bidi controls.
"""
WILD = "req\x1b]0;owned\x07\x7f"
ROW = {"tags": [NAME], "metadata": {"user_id": "u"}}


def evil(text, _):
    """An answer, or an error of the kind that the prompt names; the attack is in every
    place that a server fills.
    """
    headers = {
        "request-id": HEADER,
        "anthropic-ratelimit-requests-limit": "1000",
        "retry-after": "0.01",
    }
    kind = text.partition(" ")[0]
    if kind.isdigit():
        return Said(int(kind), error(WHOLE, EVIL), headers | {"location": "http://" + HEADER})
    if kind == "wild":
        return Said(200, message("hi"), {"request-id": WILD, WILD: "x"}, reason=WILD)
    if kind == "html":
        return Said(502, b"<h1>" + EVIL.encode(errors="replace"), headers)
    if kind == "junk":
        return Said(200, EVIL.encode(errors="replace"), headers)
    return Said(
        200, message(WHOLE, id=WHOLE, model=WHOLE, stop_reason=WHOLE, stop_sequence=WHOLE), headers
    )


@pytest.fixture
def evil_world(processes, stranger):
    world = processes
    stranger.says = evil
    world.point_at(stranger.url)
    settings = (
        "limits: {tier: none}\n"
        "retry: {base_s: 0.001, cap_s: 0.002, max_attempts: 2, budget_floor_per_s: 99}\n"
    )
    world.path("claudebatch.yaml").write_text(settings)
    kinds = ("hi", "400 x", "404 x", "307 x", "413 x", "junk x", "wild x")
    world.write(NAME, [{"id": f"{kind} {WHOLE}", "prompt": f"{kind} {WHOLE}"} for kind in kinds])
    return world


RUNS = {
    "live": (),
    "in plain lines": ("--no-progress",),
    "-vv": ("-vv",),
    "quiet": ("-q",),
    "events": ("--json",),
    "dry run": ("--dry-run",),
    "results on the screen": ("-o", "-"),
    "with a log": ("--log", NAME + ".log", "--log-prompts"),
    "a hostile system prompt": ("--system", NAME),
    "a hostile tag": ("--tag", NAME),
    "retry": ("--retry-failed", "-v"),
    "another model": ("-m", NAME),
    "a hostile output": ("-o", NAME + ".out", "-v"),
}


@pytest.mark.parametrize("more", RUNS.values(), ids=RUNS)
def test_a_run_with_hostile_rows_names_and_answers(evil_world, more):
    code, written = seen(evil_world, "run", NAME, *more, "--yes")
    assert attacks(written) == []
    assert written
    assert "internal error" not in written
    refused = "--tag" in more or "-m" in more
    assert code == (0 if "--dry-run" in more else 2 if refused else 1), written


@pytest.mark.parametrize("kind", ["401", "403", "529", "html", "429"])
def test_a_run_that_the_server_stops(evil_world, kind):
    evil_world.write("stopped.jsonl", [{"id": NAME, "prompt": f"{kind} x"}])
    code, written = seen(evil_world, "run", "stopped.jsonl", "--max-outage", "0.1s", "-vv")
    assert attacks(written) == []
    assert code in (1, 4, 5)


REPORTS = [
    ("spend",),
    ("spend", "--by", "model"),
    ("spend", "--by", "day", "--json"),
    ("cache", "stats"),
    ("cache", "path"),
    ("cache", "clear", "--yes"),
    ("models",),
    ("models", NAME),
    ("estimate", NAME),
    ("runs", "list"),
    ("runs", "show", NAME),
    ("runs", "show", NAME + ".results.jsonl"),
    ("runs", "purge", NAME + ".results.jsonl", "--yes"),
    ("runs", "settle", NAME + ".results.jsonl"),
    ("doctor",),
    ("doctor", "--json"),
]


@pytest.mark.parametrize(
    "command", REPORTS, ids=lambda words: " ".join(words).replace(NAME, "EVIL")
)
def test_every_report_after_such_a_run(evil_world, command):
    seen(evil_world, "run", NAME, "-q")
    code, written = seen(evil_world, *command)
    assert attacks(written) == []
    assert (code != 70, "Traceback" in written) == (True, False), written


def test_a_folder_that_is_called_so(evil_world):
    place = evil_world.home / NAME
    evil_world.environment |= {
        "CLAUDEBATCH_CACHE_DIR": str(place),
        "CLAUDEBATCH_STATE_DIR": str(place),
    }
    for command in (
        ("run", NAME, "-vv"),
        ("cache", "stats"),
        ("cache", "path"),
        ("spend",),
        ("doctor",),
    ):
        assert attacks(seen(evil_world, *command)[1]) == []


@pytest.mark.parametrize(
    "arguments",
    [
        (NAME,),
        ("run",),
        ("run", "in.jsonl", f"--{NAME}"),
        ("run", "in.jsonl", f"-{NAME}"),
        ("run", "in.jsonl", "--budget", NAME),
        ("run", "in.jsonl", "-j", NAME),
        ("run", "in.jsonl", "--on-bad-row", NAME),
        ("run", "in.jsonl", "--max-outage", NAME),
        ("run", "in.jsonl", "-c", NAME),
        ("run", NAME + "x"),
        ("run", "in.jsonl", "\udcff"),
        ("spend", NAME),
        ("spend", "--by", NAME),
        ("spend", "--since", NAME),
        ("cache", NAME),
        ("cache", "stats", NAME),
        ("simulate", "--latency", NAME),
        ("simulate", "--fault", NAME),
        ("simulate", "--script", NAME),
        ("simulate", "--port", NAME),
        ("models", "--" + NAME),
        ("doctor", "-c", NAME),
    ],
    ids=lambda value: "-".join(value).replace(NAME, "EVIL").encode("ascii", "replace").decode(),
)
def test_what_the_option_parser_says_of_a_hostile_command_line(processes, arguments):
    code, written = seen(processes, *arguments)
    assert attacks(written) == []
    assert "error" in written
    assert code in (2, 4)


SETTINGS = [
    "{key}: 1",
    "model: {value}",
    "system: {value}\nmodle: 3",
    "max_tokens: {value}",
    "limits: {{{key}: 1}}",
    "limits: {{pools: {{{key}: {{requests_per_minute: x}}}}}}",
    "prices: {{{key}: {{input: {value}}}}}",
    "models: {{{key}: {{pool: {value}}}}}",
    "routes: [{{when: {value}, use: {value}}}]",
    "fallbacks: {{{key}: [{value}]}}",
    "budget: {value}",
    "{value}",
]


@pytest.mark.parametrize(
    "setting", SETTINGS, ids=[s.replace("{", "").replace("}", "") for s in SETTINGS]
)
@pytest.mark.parametrize("quoted", [True, False])
def test_hostile_keys_and_values_of_the_configuration(processes, setting, quoted):
    word = json.dumps(NAME) if quoted else NAME.replace("\n", " ")
    processes.write("in.jsonl", ["hi"])
    processes.path("claudebatch.yaml").write_text(
        setting.format(key=word, value=word) + "\n", encoding="utf-8"
    )
    for command in (("run", "in.jsonl", "--simulate", "-v"), ("doctor", "--offline")):
        code, written = seen(processes, *command)
        assert attacks(written) == []
        assert code != 70, written


def test_the_simulator_shows_no_model_raw(processes):
    world = processes
    process = world.launch("simulate", "--latency", "fixed:0")
    world.until(lambda: b"listening on" in process.out)
    place = process.out.decode().rsplit("/", 1)[1].strip()
    asked = http.client.HTTPConnection(place, timeout=30)
    body = {"model": WHOLE, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    head = {
        "authorization": "Bearer simulated",
        "x-api-key": "simulated",
        "anthropic-version": "2026-10-21",
    }
    asked.request("POST", "/v1/messages", json.dumps(body).encode(), head)
    asked.getresponse().read()
    asked.close()
    process.send(signal.SIGTERM)
    done = process.wait()
    assert attacks(done.err + done.out) == []


def test_results_on_a_screen_say_the_same_as_in_a_file(evil_world):
    seen(evil_world, "run", NAME, "-q")
    _, written = seen(evil_world, "run", NAME, "-o", "-", "-qq", "--no-cache")
    lines = {line["id"]: line for line in map(json.loads, written.splitlines())}
    data = evil_world.path(NAME + ".results.jsonl").read_bytes()
    kept = {row["id"]: row for row in map(json.loads, data.split(b"\n")[:-1])}
    assert attacks(data.decode()) != []
    said = [
        {name: (row["status"], row.get("message")) for name, row in found.items()}
        for found in (lines, kept)
    ]
    assert said[0] == said[1]
