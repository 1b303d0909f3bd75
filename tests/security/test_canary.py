"""The key is in no file and on no screen: not even when the server, a gateway or a
crash quotes it.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.e2e.world import prompts
from tests.security.stranger import Said, error, message
from tests.support.canary import CANARY, leaks

TOKEN = "oauth-CANARY-5d1e+8a/02~77c"
GATEWAY = "gw-CANARY-0b64/aa+19~f3c1"
PASSWORD = "pw-CANARY-77aa~1b2c3d4e"
ALL = (CANARY, TOKEN, GATEWAY, PASSWORD)
KINDS = (
    "hi",
    "400 x",
    "401 x",
    "403 x",
    "307 x",
    "404 x",
    "429 x",
    "500 x",
    "529 x",
    "junk x",
    "stream x",
)


def parrot(text, headers):
    """An answer that quotes every header that it was sent, in every place and
    spelling.
    """
    whole = " ".join(headers.values())
    sent = [secret for secret in ALL if secret in whole]
    encoded = [base64.b64encode(f"user:{secret}".encode()).decode() for secret in sent]
    quoted = " ".join([whole, quote(whole, safe=""), *encoded])
    back = {"request-id": quoted, "location": f"https://user:{PASSWORD}@evil.test/?key={whole}"}
    kind = text.partition(" ")[0]
    if kind.isdigit():
        return Said(int(kind), error(quoted, quoted), back)
    if kind == "junk":
        return Said(200, quoted.encode(), back)
    if kind == "stream":
        told = f"event: error\ndata: {json.dumps(error('api_error', quoted))}\n\n"
        return Said(200, told.encode(), back | {"content-type": "text/event-stream"})
    return Said(200, message("hi", id=quoted), back)


@pytest.fixture
def guarded(world, stranger):
    """A world with a secret in every variable that may hold one, and a server that
    repeats them all.
    """
    stranger.says = parrot
    settings = (
        "limits: {tier: none}\n"
        "retry: {base_s: 0.001, cap_s: 0.002, max_attempts: 2, budget_floor_per_s: 99}\n"
    )
    world.path("claudebatch.yaml").write_text(settings)
    world.point_at(stranger.url, key=CANARY)
    world.environment |= {
        "ANTHROPIC_CUSTOM_HEADERS": f"x-gateway-key: {GATEWAY}\nproxy-authorization: Basic "
        f"{GATEWAY}",
        "HTTPS_PROXY": f"http://user:{PASSWORD}@127.0.0.1:1",
        "ANTHROPIC_LOG": "debug",
    }
    return world


def tell_all(world, *commands):
    """Everything that *commands* write, on both streams."""
    return [
        text
        for command in commands
        for done in (world.claudebatch(*command),)
        for text in (done.out, done.err)
    ]


REPORTS = (
    ("spend",),
    ("spend", "--json"),
    ("runs", "list", "--json"),
    ("runs", "show", "out.jsonl"),
    ("cache", "stats"),
    ("cache", "path"),
    ("doctor",),
    ("doctor", "--json"),
    ("models",),
    ("estimate", "in.jsonl"),
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "more", [("-vv", "--log", "run.log", "--log-prompts"), ("--json",)], ids=["-vv", "--json"]
)
def test_a_server_that_repeats_our_secrets_gets_them_into_no_file_and_onto_no_screen(
    guarded, stranger, kind, more
):
    guarded.write(
        "in.jsonl",
        [{"id": "a", "prompt": kind, "max_tokens": 20_000 if kind == "stream x" else 100}],
    )
    told = tell_all(guarded, ("run", "in.jsonl", "-o", "out.jsonl", "--max-outage", "0.2s", *more))
    assert any(CANARY in " ".join(headers.values()) for _, headers in stranger.asked), (
        "it was sent where it belongs"
    )
    if kind == "hi":
        guarded.path("out.jsonl").write_bytes(b"")  # an answer is data, whatever is in it
        guarded.path("run.log").unlink(missing_ok=True)
        keep = [
            path
            for path in guarded.files()
            if "journal" not in path.name and "cache.db" not in path.name
        ]
    else:
        keep = guarded.files()
    assert leaks(keep, *told, secrets=ALL) == []


def test_every_other_command_and_a_token_instead_of_a_key(guarded):
    guarded.environment.pop("ANTHROPIC_API_KEY")
    guarded.environment["ANTHROPIC_AUTH_TOKEN"] = TOKEN
    guarded.write(
        "in.jsonl",
        [{"id": kind, "prompt": kind} for kind in KINDS if kind not in ("hi", "401 x", "403 x")],
    )
    told = tell_all(
        guarded, ("run", "in.jsonl", "-o", "out.jsonl", "--max-outage", "0.2s"), *REPORTS
    )
    assert leaks(guarded.files(), *told, secrets=ALL) == []


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:{PASSWORD}@127.0.0.1:1",
        f"https://user:{PASSWORD}@",
        f"https://{PASSWORD}@api.anthropic.com",
        f"https://api.anthropic.com/?key={PASSWORD}",
        f"https://api.anthropic.com/#{PASSWORD}",
        f"ftp://user:{PASSWORD}@host",
        f"https://user:{PASSWORD}@[::1",
        f"https://user:{PASSWORD}@host:99999999",
        f"https://api.anthropic.com/ {PASSWORD}",
        "http://api.anthropic.com",
        "http://127.0.0.1.evil.test",
        "http://localhost@evil.test",
        "//evil.test",
        "javascript:alert(1)",
    ],
)
def test_an_address_with_a_secret_in_it_or_without_tls_is_refused_before_anything_is_made(
    guarded, url
):
    guarded.environment["ANTHROPIC_BASE_URL"] = url
    guarded.write("in.jsonl", prompts(1))
    before = guarded.files()
    done = guarded.claudebatch("run", "in.jsonl", "-o", "out.jsonl", "-vv")
    assert (done.code, guarded.files()) == (2, before)
    assert done.err.startswith("error[E")
    doctor = guarded.claudebatch("doctor")
    assert doctor.code != 70
    assert leaks(guarded.files(), done.err, doctor.out, doctor.err, secrets=ALL) == []


@pytest.mark.parametrize(
    "headers",
    [
        f"x-key: {GATEWAY}\x01",
        f"x-key: {GATEWAY}é",
        f"x key: {GATEWAY}",
        f": {GATEWAY}",
        f"x-a: b\nb\x02: {GATEWAY}",
    ],
)
def test_a_header_that_cannot_be_sent_is_refused_before_anything_is_and_not_shown(
    guarded, stranger, headers
):
    guarded.environment["ANTHROPIC_CUSTOM_HEADERS"] = headers
    guarded.write("in.jsonl", prompts(1))
    done = guarded.claudebatch("run", "in.jsonl", "-o", "out.jsonl", "-vv")
    assert done.code == 2, "the environment is at fault, not the account"
    assert "ANTHROPIC_CUSTOM_HEADERS" in done.err
    assert (leaks(guarded.files(), done.out, done.err, secrets=ALL), stranger.asked) == ([], [])


@pytest.mark.parametrize(
    "where", ["clients.client.ClaudeClient.__call__", "engine.session.Session.go"]
)
@pytest.mark.parametrize("debug", ["", "1"])
def test_a_crash_tells_of_itself_without_the_key_and_raw_text(guarded, monkeypatch, where, debug):
    guarded.write("in.jsonl", prompts(1))
    guarded.environment["CLAUDEBATCH_DEBUG"] = debug

    def broken(*_, **__):
        raise RuntimeError(f"\x1b]0;owned\x07 {CANARY} {GATEWAY} https://user:{PASSWORD}@host")

    monkeypatch.setattr(f"claudebatch.{where}", broken)
    done = guarded.claudebatch("run", "in.jsonl", "-o", "out.jsonl", "-vv")
    assert done.code == 70
    assert ("Traceback" in done.err) == bool(debug)
    assert "\x1b" not in done.err
    assert leaks(guarded.files(), done.out, done.err, secrets=ALL) == []


def test_a_crash_never_writes_into_a_file_that_is_there(guarded, monkeypatch):
    guarded.write("in.jsonl", prompts(1))
    state = guarded.home / "state"
    state.mkdir(0o700)
    precious = guarded.folder / "precious"
    precious.write_text("precious")
    for name in (f"crash-{os.getpid()}.txt", f"crash-{os.getpid()}-1.txt"):
        (state / name).symlink_to(precious)
    monkeypatch.setattr("claudebatch.cli.wiring.launch.Session", None)
    assert guarded.claudebatch("run", "in.jsonl", "-o", "out.jsonl", umask=0).code == 70
    assert precious.read_text() == "precious"
    (crash,) = [path for path in state.glob("crash-*") if not path.is_symlink()]
    assert crash.stat().st_mode & 0o777 == 0o600


def test_libraries_that_are_told_to_log_everything_log_nothing(guarded, stranger):
    guarded.write("in.jsonl", [{"id": "a", "prompt": "400 a prompt of my own"}])
    done = subprocess.run(
        [sys.executable, "-m", "claudebatch", "run", "in.jsonl", "-o", "out.jsonl", "-vv"],
        cwd=guarded.work,
        env={
            **guarded.environment,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "PYTHONASYNCIODEBUG": "1",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, len(stranger.asked)) == (1, 1)
    told = done.stderr.decode()
    assert ("DEBUG" in told, "a prompt of my own" in told) == (False, False), told
    assert leaks(guarded.files(), told, secrets=ALL) == []


def test_the_process_list_and_the_environment_of_children_do_not_have_it(processes, stranger):
    world = processes
    world.point_at(stranger.url, key=CANARY)
    world.path("own.yaml").write_text(
        "limits: {tier: none}\nbudget: 1\nalerts: {command: [sh, -c, 'cat > told; env > "
        "environment']}\n"
    )
    world.environment |= {
        "ANTHROPIC_CUSTOM_HEADERS": f"x-key: {GATEWAY}",
        "ANTHROPIC_AUTH_TOKEN": "",
    }
    stranger.says = lambda text, _: Said(
        body=message("x", usage={"input_tokens": 300_000, "output_tokens": 9})
    )
    world.write("in.jsonl", prompts(3))
    process = world.launch("run", "in.jsonl", "-o", "out.jsonl", "-c", "own.yaml", "-vv")
    lists = set()
    while process.running:
        lists |= (
            {Path(f"/proc/{process.pid}/cmdline").read_bytes()}
            if Path(f"/proc/{process.pid}").exists()
            else set()
        )
    done = process.wait()
    assert done.code in (0, 3), done.err
    assert world.path("environment").exists(), "the command of the alert ran: " + done.err
    assert leaks(world.files(), done.out, done.err, str(lists), secrets=ALL) == []
