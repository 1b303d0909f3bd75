"""What is not needed is not loaded: the SDK costs a second, and most commands never
send anything.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.e2e.world import PATIENCE_S, prompts

# Runs the command line and then tells what it has loaded.
_WATCHED = """
import json, sys
from claudebatch.__main__ import main
try:
    main()
except SystemExit as leaving:
    code = leaving.code or 0
else:
    code = 0
json.dump([code, sorted(sys.modules)], open("modules.json", "w"))
"""
_SENDING = {"anthropic", "aiohttp", "httpx2"}


@pytest.fixture
def loaded(world):
    def run(*arguments):
        subprocess.run(
            [sys.executable, "-c", _WATCHED, *arguments],
            cwd=world.work,
            env={**world.environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE_S,
            check=True,
        )
        code, modules = json.loads(world.path("modules.json").read_text())
        assert code == 0
        return set(modules)

    return run


def test_nothing_that_sends_is_loaded_to_tell_the_version_or_help(loaded):
    version = loaded("--version")
    assert not version & (_SENDING | {"typer", "rich", "yaml", "msgspec", "diskcache", "asyncio"})
    help_ = loaded("--help")
    assert "typer" in help_
    assert not help_ & (_SENDING | {"yaml", "genai_prices", "jinja2"})
    assert not loaded("run", "--help") & (_SENDING | {"yaml", "genai_prices", "jinja2"})


def test_nothing_that_sends_is_loaded_to_estimate_or_report(loaded, world):
    world.write("in.jsonl", prompts(3))
    dry = loaded("run", "in.jsonl", "--dry-run")
    assert "genai_prices" in dry
    assert not dry & {"anthropic", "aiohttp", "claudebatch.simulator"}
    assert not loaded("spend") & (_SENDING | {"genai_prices"})
    assert not loaded("models") & {"anthropic", "aiohttp", "claudebatch.simulator"}
    assert not loaded("cache", "stats") & (_SENDING | {"genai_prices"})


def test_a_run_that_finds_everything_finished_or_cached_does_not_load_the_sdk(loaded, world, api):
    world.write("in.jsonl", prompts(3))
    assert world.claudebatch("run", "in.jsonl", "-o", "out.jsonl").code == 0
    assert not loaded("run", "in.jsonl", "-o", "out.jsonl") & {
        "anthropic",
        "aiohttp",
        "claudebatch.simulator",
    }
    assert not loaded("run", "in.jsonl", "-o", "other.jsonl") & {
        "anthropic",
        "aiohttp",
        "claudebatch.simulator",
    }
    assert api.requests == 3
    assert len(world.results("other.jsonl")) == 3
