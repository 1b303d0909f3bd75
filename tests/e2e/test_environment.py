"""What the environment gets wrong is named before anything is held, and stops only the
runs that need it.
"""

from __future__ import annotations

import json
import os
import re

import pytest

from tests.e2e.world import prompts

RUN = ("run", "in.jsonl", "-o", "out.jsonl")
GATEWAY = "https://gw.corp.test:8443"
BLAMED_ON_ANOTHER = ("internal error", "mend", "set ANTHROPIC_API_KEY")


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"SSL_CERT_FILE": "/nonexistent/ca.pem"}, "SSL_CERT_FILE=/nonexistent/ca.pem: no such"),
        ({"SSL_CERT_FILE": "/dev/null"}, "SSL_CERT_FILE=/dev/null: this is not a regular file"),
        ({"SSL_CERT_DIR": "/nonexistent"}, "SSL_CERT_DIR=/nonexistent: no such folder"),
        ({"SSLKEYLOGFILE": "/nonexistent/keys"}, "SSLKEYLOGFILE=/nonexistent/keys: no such file"),
        (
            {"ALL_PROXY": "socks://p:1080"},
            "ALL_PROXY=socks://p:1080: SOCKS proxies are not supported",
        ),
        ({"https_proxy": "http://me:secret@p:x"}, "https_proxy=http://[hidden]@p:x: this is no"),
    ],
)
def test_a_variable_that_this_run_needs_ends_it_with_2_and_nothing_is_held(world, variables, words):
    world.point_at(GATEWAY)
    world.environment |= variables
    world.write("in.jsonl", prompts(3))
    done = world.claudebatch(*RUN, "--budget", "1")
    assert done.code == 2
    assert re.search(rf"error\[E\d+\]: {re.escape(words)}", done.err) and "hint: " in done.err
    assert "secret" not in done.err
    assert not any(word in done.err for word in BLAMED_ON_ANOTHER)
    assert world.query("SELECT count(*) FROM attempts") == [(0,)]
    assert world.ledger() == (0, 0)


BROKEN = {
    "SSL_CERT_FILE": "/nonexistent/ca.pem",
    "SSL_CERT_DIR": "/nonexistent",
    "REQUESTS_CA_BUNDLE": "/nonexistent",
    "ALL_PROXY": "socks://p:1080",
    "https_proxy": "nonsense://",
    "HTTP_PROXY": "::::",
    "SSLKEYLOGFILE": "/nonexistent/keys",
}


def test_what_this_run_does_not_use_stops_nothing(world, api):
    world.environment |= BROKEN
    world.write("in.jsonl", prompts(3))
    done = world.claudebatch(*RUN, "-v")
    assert done.code == 0, done.err
    assert "REQUESTS_CA_BUNDLE is ignored" in done.err
    assert world.claudebatch("run", "in.jsonl", "-o", "other.jsonl", "--simulate").code == 0
    seen = api.requests
    assert world.claudebatch("run", "in.jsonl", "-o", "cached.jsonl").code == 0
    assert world.claudebatch(*RUN).code == 0
    assert api.requests == seen
    world.point_at(GATEWAY)
    assert world.claudebatch(*RUN, "--dry-run").code == 0


@pytest.mark.parametrize("value", ["", " "])
def test_empty_means_unset(world, api, value):
    names = ("SSL_CERT_FILE", "SSLKEYLOGFILE", "HTTPS_PROXY", "ANTHROPIC_CUSTOM_HEADERS")
    world.environment |= dict.fromkeys(
        (*names, "ANTHROPIC_PROFILE", "CLAUDEBATCH_CONFIG", "ANTHROPIC_CONFIG_DIR"), value
    )
    world.write("in.jsonl", prompts(2))
    assert world.claudebatch(*RUN).code == 0
    world.environment["ANTHROPIC_BASE_URL"] = value
    done = world.claudebatch("run", "in.jsonl", "-o", "api.jsonl", "--dry-run")
    assert done.code == 0, done.err


def test_nobody_listening_here_ends_the_run_after_the_second_try(world):
    world.point_at("http://127.0.0.1:1")
    world.write("in.jsonl", prompts(50))
    done = world.claudebatch(*RUN)
    assert done.code == 2
    assert done.err.count("no answer: nothing listens on 127.0.0.1:1; trying again") == 1
    assert "stopped   no connection to the API: nothing listens on 127.0.0.1:1" in done.err
    assert "0 of 50 done: 0 ok · 50 pending" in done.err
    assert world.settled() == 0 and world.ledger() == (0, 0)


def test_a_name_that_does_not_exist_is_said_and_ends_the_run(world, monkeypatch):
    import socket

    def unknown(*args, **more):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    world.point_at(GATEWAY)
    world.write("in.jsonl", prompts(5))
    done = world.claudebatch(*RUN, "--json")
    assert done.code == 2
    notices = [line for line in done.lines if line["event"] == "notice" and line["kind"] == "retry"]
    assert [line["text"] for line in notices] == [
        "no answer: gw.corp.test:8443: no such host; trying again"
    ]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ANTHROPIC_API_KEY", "sk-ant-abcdefgh\nijkl", "contains a line break"),
        ("ANTHROPIC_API_KEY", "'sk-ant-abcdefgh'", "contains a quotation mark"),
        ("ANTHROPIC_BASE_URL", "gw.corp.test", "is not a URL"),
        (
            "ANTHROPIC_BASE_URL",
            "http://gw.corp.test",
            "is not encrypted: your key would be readable",
        ),
        ("ANTHROPIC_CUSTOM_HEADERS", "a b: c", "has an invalid name"),
        ("CLAUDEBATCH_STATE_DIR", "~/state", "only a shell expands ~"),
        ("CLAUDEBATCH_CACHE_DIR", "$HOME/x", "only a shell expands $"),
        ("CLAUDEBATCH_CONFIG", "/nonexistent.yaml", "/nonexistent.yaml"),
    ],
)
def test_a_value_that_cannot_be_one_ends_with_2_before_a_folder_is_made(
    world, api, name, value, words
):
    world.environment[name] = value
    world.write("in.jsonl", prompts(1))
    done = world.claudebatch(*RUN)
    assert (done.code, api.requests) == (2, 0), done.err
    assert words in done.err and name in done.err
    assert "abcdefgh" not in done.err
    assert not world.path("out.jsonl.claudebatch").exists()


def test_a_name_that_is_too_long_is_told_as_that(world, api):
    world.write("in.jsonl", prompts(1))
    done = world.claudebatch("run", "in.jsonl", "-o", "x" * 246)
    assert done.code == 6
    assert "error[E011]: " in done.err
    assert "the name is too long for this file system" in done.err
    assert "a shorter name with -o" in done.err
    assert not any(word in done.err for word in BLAMED_ON_ANOTHER)


def test_standard_output_is_named_with_a_dash(world, api):
    world.write("in.jsonl", prompts(1))
    done = world.claudebatch("run", "in.jsonl", "-o", "/dev/stdout")
    assert (done.code, api.requests) == (2, 0)
    assert "/dev/stdout is standard output\n  hint: write -o - for it" in done.err


@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_a_pipe_or_link_in_the_place_of_the_rescue_file_is_refused_at_once(world, api, kind):
    world.write("in.jsonl", prompts(2))
    assert world.claudebatch(*RUN).code == 0
    place = world.path("out.jsonl.claudebatch") / "rescue"
    if kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to(world.path("in.jsonl"))
    done = world.claudebatch(*RUN)
    assert done.code == 6
    assert "error[E616]" in done.err and "rescue is not a regular file" in done.err


def profile(world, name, **credentials):
    """A profile of the SDK's in the user's home, chosen by its variable."""
    place = world.home / ".config" / "anthropic"
    for folder, content in {
        "configs": {"authentication": {"type": "user_oauth"}},
        "credentials": {"type": "oauth_token", **credentials},
    }.items():
        (place / folder).mkdir(parents=True)
        (place / folder / f"{name}.json").write_text(json.dumps(content))
        (place / folder / f"{name}.json").chmod(0o600)
    del world.environment["ANTHROPIC_API_KEY"]
    world.environment["ANTHROPIC_PROFILE"] = name


def test_a_profile_of_the_sdk_is_a_credential(world, api):
    world.write("in.jsonl", prompts(3))
    profile(world, "work", access_token="sk-ant-oat-test", expires_at=4_000_000_000)
    done = world.claudebatch(*RUN)
    assert (done.code, api.requests, len(world.results())) == (0, 3, 3), done.err


def test_a_profile_that_is_not_there_is_named_before_anything_is_sent(world, api):
    world.write("in.jsonl", prompts(3))
    profile(world, "work")
    world.environment["ANTHROPIC_PROFILE"] = "wrok"
    done = world.claudebatch(*RUN)
    assert (done.code, api.requests) == (4, 0)
    assert "error[E216]: the SDK does not accept the credentials" in done.err
    assert "wrok" in done.err and "correct that, or set ANTHROPIC_API_KEY" in done.err


def test_fewer_requests_in_flight_than_asked_for_are_told(world, api, monkeypatch):
    # As far as the limit of open files lets it; this machine's own may be high.
    monkeypatch.setattr("claudebatch.cli.wiring.launch.connections", lambda wanted: 7)
    world.write("in.jsonl", prompts(1))
    done = world.claudebatch(*RUN, "-j", "50")
    assert done.code == 0
    assert "warning[W004]: only 7 requests in flight per pool" in done.err
    assert "ulimit -n" in done.err


def test_a_misspelt_variable_is_told_once_by_every_command(world):
    world.environment |= {"CLAUDEBATCH_STATE_DR": "/elsewhere", "ANTHROPIC_MODLE": "x"}
    world.write("in.jsonl", prompts(1))
    commands = ("spend", "runs list", "cache stats", "estimate in.jsonl", "run in.jsonl --dry-run")
    for command in (*commands, "run in.jsonl --simulate", "spend --json"):
        done = world.claudebatch(*command.split())
        assert done.code == 0, done.err
        assert done.err.count("CLAUDEBATCH_STATE_DR is set, but there is no such variable") == 1
        assert "ANTHROPIC_MODLE" not in done.err and "STATE_DR" not in done.out
    events = world.claudebatch("run", "in.jsonl", "--simulate", "--json").lines
    told = [line for line in events if line["event"] == "notice" and "STATE_DR" in line["text"]]
    assert len(told) == 1
