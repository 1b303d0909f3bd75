"""What `doctor` says of the shared server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from claudebatch.cli.doctor.shared_findings import shared_findings
from claudebatch.core.errors import ExitCode
from claudebatch.core.reports.finding import Finding
from claudebatch.storage.shared_server.rights import rights
from claudebatch.storage.shared_server.server_check import ServerFacts, look_at
from claudebatch.storage.shared_server.settings import SharedSettings
from tests.house.files import ROOT
from tests.support.redis_servers import OwnServer, needs_redis_server

INFO = {
    "redis_version": "7.2.4",
    "aof_enabled": "1",
    "aof_last_write_status": "ok",
    "maxmemory": "0",
    "maxmemory_policy": "noeviction",
    "used_memory": "1000000",
}
FINE = ServerFacts(answer_s=0.0004, info=INFO)


def found(facts: ServerFacts, *, caps: bool = True) -> dict[str, Finding]:
    return {each.name: each for each in shared_findings(facts, "h:6379", caps=caps)}


def described(**info: str) -> dict[str, Finding]:
    return found(replace(FINE, info=INFO | info))


def test_a_server_that_is_in_order_is_told_with_its_version_and_its_time() -> None:
    findings = found(FINE)
    assert {each.state for each in findings.values()} == {"ok"}
    assert findings["shared"].text == "h:6379: Redis 7.2.4 answers in 0.4 ms"


@pytest.mark.parametrize(
    ("facts", "name", "state", "words", "code"),
    [
        (ServerFacts(error="refused to connect"), "shared", "failure", "not answer", 5),
        (ServerFacts(error="WRONGPASS", refused=True), "shared", "failure", "refuses", 4),
        (replace(FINE, unwritable="READONLY"), "shared", "failure", "stores nothing", 5),
        (replace(FINE, answer_s=0.3), "shared", "warning", "300.0 ms", 0),
        (replace(FINE, missing=("hscan", "info")), "rights", "failure", "hscan, info", 4),
        (replace(FINE, info=None), "rights", "note", "INFO", 0),
        (replace(FINE, skew_s=-60.0), "shared clock", "warning", "60 s behind h:6379", 0),
    ],
)
def test_what_is_wrong_has_its_meaning_and_what_to_do(facts, name, state, words, code) -> None:
    finding = found(facts)[name]
    assert (finding.state, finding.exit_code) == (state, ExitCode(code))
    assert words in finding.text and finding.fix


@pytest.mark.parametrize(
    ("info", "name", "state", "words"),
    [
        ({"redis_version": "6.2.1"}, "shared", "failure", "older than 7.0"),
        ({"aof_enabled": "0"}, "persistence", "warning", "appendonly no"),
        ({"aof_last_write_status": "err"}, "persistence", "warning", "failed"),
        ({"maxmemory_policy": "allkeys-lru"}, "eviction", "warning", "allkeys-lru"),
        ({"maxmemory": "1050000"}, "eviction", "warning", "nothing is sent"),
    ],
)
def test_how_it_describes_itself_is_judged(info, name, state, words) -> None:
    finding = described(**info)[name]
    assert finding.state == state and words in finding.text and finding.fix


def test_limits_alone_need_no_persistence() -> None:
    facts = replace(FINE, info=INFO | {"aof_enabled": "0"})
    assert found(facts, caps=False)["persistence"].state == "ok"


def test_valkey_is_named() -> None:
    text = described(server_name="valkey", valkey_version="8.1.0")["shared"].text
    assert "Valkey 8.1.0" in text


def test_the_page_gives_a_user_the_rights_that_are_looked_for() -> None:
    page = (ROOT / "docs/many-hosts.md").read_text()
    (rules,) = (line for line in page.splitlines() if line.startswith("user batch on"))
    given = {word[1:] for word in rules.split() if word.startswith("+")}
    wanted = {words.partition(" ")[0] for words in rights("k")}
    assert given - {"eval", "evalsha", "client|setname"} == wanted


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnServer]:
    own = OwnServer(tmp_path_factory.mktemp("redis"))
    own.start()
    yield own
    own.stop()


async def looked(url: str) -> ServerFacts:
    settings = SharedSettings(url, "h:1")
    return await look_at(settings, prefix="claudebatch:{x}", now=time.monotonic, wall=time.time)


@needs_redis_server
async def test_a_real_server_is_looked_at_and_left_as_it_was(server: OwnServer) -> None:
    redis = pytest.importorskip("redis")
    facts = await looked(server.url)
    assert found(facts)["shared"].state == "ok" and found(facts)["rights"].state == "ok"
    assert abs(facts.skew_s) < 5 and facts.answer_s > 0
    with redis.Redis(port=server.port) as admin:
        assert admin.dbsize() == 0
        less = [word for word in rights("k") if not word.startswith(("hscan", "info"))]
        allowed = [f"+{word.partition(' ')[0]}" for word in less]
        rules = ["resetchannels", "~claudebatch:*", "-@all", "+eval", "+client|setname", *allowed]
        admin.execute_command("ACL", "SETUSER", "less", "on", ">pw", *rules)
        facts = await looked(server.url.replace("//", "//less:pw@"))
        assert (facts.missing, facts.info) == (("hscan", "info"), None)
        facts = await looked(server.url.replace("//", "//less:no@"))
        assert facts.refused
        admin.execute_command("REPLICAOF", "127.0.0.1", "1")
        facts = await looked(server.url)
        assert found(facts)["shared"].text.count("stores nothing") == 1, facts
        admin.execute_command("REPLICAOF", "NO", "ONE")


async def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    pytest.importorskip("redis")
    facts = await looked(f"unix://{tmp_path / 'none.sock'}")
    assert facts.error and not facts.refused
