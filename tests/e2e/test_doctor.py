"""`claudebatch doctor` from the outside."""

from __future__ import annotations

import json
from pathlib import Path

import claudebatch


def test_a_machine_that_is_in_order_ends_with_0_and_shows_no_key(world, serve) -> None:
    api = serve()
    world.point_at(api.url, key="sk-canary-doctor")
    done = world.claudebatch("doctor")
    assert done.code == 0, done.out
    assert done.out.endswith("ready to run\n")
    assert "found: ANTHROPIC_API_KEY" in done.out
    assert "canary" not in done.out + done.err
    assert api.requests == 0, "nothing was asked that costs money"


def test_without_a_key_it_ends_as_a_run_would_and_asks_nothing(world) -> None:
    done = world.claudebatch("doctor")
    assert done.code == 4
    assert "FAIL  key" in done.out
    assert "\napi" not in done.out
    assert done.out.endswith("1 problem to fix before you can run\n")


def test_an_api_that_does_not_answer_is_exit_5(world) -> None:
    world.point_at("http://127.0.0.1:9")
    done = world.claudebatch("doctor", "--json")
    found = json.loads(done.out)
    assert done.code == found["exit_code"] == 5
    assert {"name": "api", "state": "failure"}.items() <= next(
        finding for finding in found["findings"] if finding["name"] == "api"
    ).items()


def test_a_broken_configuration_is_an_error_of_its_own(world) -> None:
    world.configure("no_such_setting: 1\n")
    done = world.claudebatch("doctor", "--offline")
    assert done.code == 2
    assert "no_such_setting" in done.err


def test_the_drill_itself_on_a_real_disk(world) -> None:
    world.environment["PYTHONPATH"] = str(
        Path(claudebatch.__file__).parents[1]
    )  # where it is not installed
    done = world.claudebatch("doctor", "--offline", "--drill", "--json")
    found = {finding["name"]: finding for finding in json.loads(done.out)["findings"]}
    assert found["drill"]["state"] == "ok", found["drill"]
    assert found["drill"]["text"].startswith("2 deaths in the middle of 200 rows")
    assert [path.name for path in world.work.iterdir()] == ["claudebatch.yaml"], (
        "nothing is left behind"
    )
