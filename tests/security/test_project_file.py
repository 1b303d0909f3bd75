"""A folder that somebody else has made cannot act through whoever starts a run in
it.
"""

from __future__ import annotations

import json
import os
import threading

import pytest

from claudebatch.config.foreign import _FIXES
from tests.e2e.world import prompts

RUN = ("run", "in.jsonl", "-o", "out.jsonl")
EVIL = "https://evil.test/"
FOREIGN = sorted(_FIXES)


def project(world, text):
    world.path("claudebatch.yaml").write_text(text)
    world.write("in.jsonl", prompts(1))


@pytest.mark.parametrize("key", FOREIGN)
@pytest.mark.parametrize(
    "value", [EVIL, {"x-api-key": "mine"}, ["sh", "-c", "touch owned"]], ids=["text", "map", "list"]
)
def test_what_belongs_into_the_environment_is_no_setting_and_is_told_where_it_goes(
    world, stranger, key, value
):
    world.point_at(stranger.url)
    project(world, json.dumps({key: value}))
    done = world.claudebatch(*RUN)
    assert done.code == 2
    assert f'claudebatch.yaml:1: unknown setting "{key}"' in done.err
    assert _FIXES[key] in done.err
    assert (stranger.asked, world.path("owned").exists()) == ([], False)


@pytest.mark.parametrize(
    "text",
    [
        f"alerts: {{webhook: '{EVIL}'}}",
        "alerts: {command: [touch, owned]}",
        f"alerts:\n  webhook: {EVIL}\n  command: [x]",
    ],
)
@pytest.mark.parametrize(
    "command", [RUN, (*RUN, "--dry-run"), (*RUN, "--simulate"), ("doctor", "--offline")]
)
def test_hooks_of_a_found_file_are_refused_with_file_line_and_fix(world, api, text, command):
    project(world, text)
    done = world.claudebatch(*command)
    assert done.code == 2
    assert "claudebatch.yaml:" in done.err
    assert "name it with -c" in done.err
    assert (api.requests, world.path("owned").exists(), world.path("out.jsonl").exists()) == (
        0,
        False,
        False,
    )


@pytest.mark.parametrize("way", ["-c", "CLAUDEBATCH_CONFIG", "own"])
def test_the_same_file_counts_when_its_user_names_it(world, way):
    project(world, "")
    named = world.path("named.yaml")
    named.write_text("alerts: {command: ['true']}\n")
    more = ("-c", str(named)) if way == "-c" else ()
    if way == "CLAUDEBATCH_CONFIG":
        world.environment["CLAUDEBATCH_CONFIG"] = str(named)
    if way == "own":
        world.path("claudebatch.yaml").unlink()
        place = world.home / "config/claudebatch/config.yaml"
        place.parent.mkdir(parents=True)
        named.rename(place)
    assert world.claudebatch(*RUN, "--simulate", *more).code == 0


def test_prices_and_the_question_of_a_found_file_are_said(world, api):
    project(
        world,
        "limits: {tier: none}\nprices: {claude-sonnet-5-5: {input: 0.01, output: "
        "0.01}}\nconfirm_above: 1000\n",
    )
    done = world.claudebatch(*RUN)
    assert done.code == 0
    for key, line in (("prices", 2), ("confirm_above", 3)):
        assert f"claudebatch.yaml:{line}, a file that was only found in this folder" in done.err, (
            key
        )
    assert "only found" not in world.claudebatch(*RUN, "-c", "claudebatch.yaml").err


@pytest.mark.parametrize(
    "name", [".env", ".env.local", ".envrc", "claudebatch.env", ".claudebatch"]
)
def test_no_file_of_variables_is_read(world, stranger, name):
    project(world, "")
    world.path(name).write_text(f"ANTHROPIC_API_KEY=theirs\nANTHROPIC_BASE_URL={stranger.url}\n")
    done = world.claudebatch(*RUN)
    assert (done.code, stranger.asked) == (4, [])
    assert "ANTHROPIC_API_KEY is not set" in done.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("!!python/object/apply:os.system ['touch owned']", "could not determine a constructor"),
        (
            "model: !!python/object/new:os.system ['touch owned']",
            "could not determine a constructor",
        ),
        ("model: !!python/name:os.system", "could not determine a constructor"),
        ("a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n" * 1, "unknown setting"),
        ("system: '" + "x" * 10_000_001 + "'", "more than 10,000,000 bytes"),
        ("\x1b]0;x\x07: 1", "not allowed in YAML"),
    ],
    ids=["apply", "new", "name", "aliases", "huge", "control"],
)
def test_a_file_that_is_made_to_harm_its_reader_is_refused(world, text, words):
    project(world, text)
    done = world.claudebatch(*RUN, "--simulate")
    assert done.code == 2
    assert words in done.err
    assert not world.path("owned").exists()
    assert "\x1b" not in done.err


def test_a_configuration_without_an_end_is_given_up(world):
    project(world, "")
    assert world.claudebatch(*RUN, "--simulate", "-c", "/dev/zero").code == 2


def test_a_configuration_may_come_out_of_a_pipe(world):
    project(world, "")
    os.mkfifo(world.path("pipe"))
    writer = threading.Thread(target=lambda: world.path("pipe").write_text("max_tokens: 0\n"))
    writer.start()
    done = world.claudebatch(*RUN, "--simulate", "-c", "pipe")
    writer.join(30)
    assert (done.code, "pipe:1: max_tokens" in done.err) == (2, True)


def test_a_pipe_that_a_variable_names_and_nobody_writes_into_holds_up_nothing(world):
    project(world, "")
    os.mkfifo(world.path("pipe"))
    world.environment["CLAUDEBATCH_CONFIG"] = "pipe"
    done = world.claudebatch(*RUN, "--simulate")
    assert done.code == 2
    assert "pipe: cannot read the configuration: nobody writes into this pipe" in done.err
    assert "check CLAUDEBATCH_CONFIG" in done.err


def test_a_found_file_that_is_no_file_is_not_read(world, api):
    project(world, "")
    world.path("claudebatch.yaml").unlink()
    os.mkfifo(world.path("claudebatch.yaml"))
    assert world.claudebatch(*RUN, "--dry-run").code == 0
