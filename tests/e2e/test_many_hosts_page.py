"""docs/many-hosts.md: its compose file, its user, and its commands, tried together."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest
import yaml

from claudebatch.config.shared import resolve_shared
from claudebatch.config.values import ValueReader
from claudebatch.layers.budget import redis_budget
from tests.e2e.world import prompts
from tests.house.files import ROOT
from tests.support.redis_servers import OwnServer, needs_redis_server

PAGE = (ROOT / "docs" / "many-hosts.md").read_text()
PASSWORD = "pw-1"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def compose() -> dict:
    (found,) = (block for block in blocks("yaml") if block.startswith("services:"))
    return yaml.safe_load(found)


def commands() -> list[list[str]]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    ours = [shlex.split(line) for line in lines if line.startswith("claudebatch ")]
    # Those that send from several processes have tests of their own.
    return [words[1:] for words in ours if not {"--processes", "--engine"} & set(words)]


def test_every_block_of_yaml_is_valid_and_the_address_is_one():
    for block in blocks("yaml"):
        assert isinstance(yaml.safe_load(block), dict)
    (url,) = re.findall(r"^export CLAUDEBATCH_SHARED=(\S+)$", "".join(blocks("sh")), re.MULTILINE)
    shared = resolve_shared(url, ValueReader(lambda key: ""))
    assert shared is not None and "PASSWORD" not in shared.shown


def test_the_compose_file_keeps_what_is_written_and_evicts_nothing():
    file = compose()
    service = file["services"]["redis"]
    words = service["command"]
    assert words[0] == "redis-server"
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert options["--appendonly"] == "yes" and options["--maxmemory-policy"] == "noeviction"
    assert set(file["volumes"]) == {volume.split(":")[0] for volume in service["volumes"][:1]}


@pytest.fixture
def composed(world) -> Iterator[OwnServer]:
    """The server as the page has it started, with the page's users."""
    pytest.importorskip("redis")
    (users,) = (block for block in blocks("text") if block.startswith("user "))
    world.path("users.acl").write_text(users.replace("PASSWORD", PASSWORD))
    words = compose()["services"]["redis"]["command"][1:]
    options = dict(zip(words[::2], words[1::2], strict=True))
    options["--aclfile"] = str(world.path("users.acl"))
    server = OwnServer(world.folder)
    server.start(*(word for option in options.items() for word in option))
    yield server
    server.stop()


@needs_redis_server
def test_the_commands_of_the_page_work_with_its_server_and_its_user(
    world, serve, composed, monkeypatch
):
    monkeypatch.setattr(redis_budget, "_REPORT_S", 0)
    serve()
    world.environment["CLAUDEBATCH_SHARED"] = composed.url.replace("//", f"//batch:{PASSWORD}@")
    world.configure("budget: {day: 5}\ncache: {shared: answers}\nmodel: haiku\n")
    world.write("prompts.jsonl", prompts(5))
    found = commands()
    assert ["run", "prompts.jsonl", "-o", "answers.jsonl"] in found
    for words in found:
        done = world.claudebatch(*words)
        assert done.code == 0, (words, done.err)
    assert len(world.results("answers.jsonl")) == 5
    doctor = world.claudebatch("doctor").out
    assert "warn" not in doctor and "all that runs need" in doctor, doctor
    world.environment["CLAUDEBATCH_SHARED"] = composed.url
    done = world.claudebatch("shared", "status")
    assert done.code == 4 and "E870" in done.err, "nobody else is let in"
