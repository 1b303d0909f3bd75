"""The connection to a real Redis: it comes and goes, refuses, forgets, and is full."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from claudebatch.core.domain import Usage
from claudebatch.core.errors import ConfigError, ExitCode, StopRun
from claudebatch.core.notice import Notice
from claudebatch.layers.rate_limit.booking import ExpectedUsage
from claudebatch.layers.rate_limit.redis_pool import RedisPool
from claudebatch.layers.rate_limit.settings import PoolLimits
from claudebatch.layers.rate_limit.store import Admitted, Delayed, PoolStart
from claudebatch.storage.shared_server.redis_connection import connected
from claudebatch.storage.shared_server.redis_server import RedisServer, ServerAway
from claudebatch.storage.shared_server.script import Script
from claudebatch.storage.shared_server.settings import SharedSettings
from tests.house.files import ROOT
from tests.support.redis_servers import OwnServer, needs_redis_server

redis = pytest.importorskip("redis")
pytestmark = needs_redis_server

# A name that the server does not know: so the script is sent whole.
COUNTS = Script("return {redis.call('INCR', KEYS[1])}", "0" * 40)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OwnServer]:
    server = OwnServer(tmp_path)
    server.start()
    yield server
    server.stop()


def connect(
    url: str, told: list[Notice], *, max_outage_s: float = 60.0, ca: str | None = None
) -> RedisServer:
    return RedisServer(
        SharedSettings(url, "the.host:1", ca=ca),
        prefix="p",
        client="me",
        sleep=asyncio.sleep,
        now=time.monotonic,
        max_outage_s=max_outage_s,
        notify=told.append,
    )


async def asked(server: RedisServer) -> Any:
    return await server.run(COUNTS, ["p:n"])


async def test_a_server_that_is_started_again_is_found_again_and_both_are_said_once(own):
    told: list[Notice] = []
    server = connect(own.url, told)
    assert await asked(server) == [1]
    own.stop()
    for _ in range(3):
        with pytest.raises(ServerAway):
            await asked(server)
    own.start()
    assert await asked(server) == [1], "it has forgotten"
    assert [notice.id for notice in told] == ["W128", "N128"]
    await server.close()


async def test_a_server_that_is_away_for_too_long_stops_the_run(own):
    server = connect(own.url, [], max_outage_s=0.05)
    own.stop()
    with pytest.raises(ServerAway):
        await asked(server)
    await asyncio.sleep(0.1)
    with pytest.raises(StopRun) as stopped:
        await asked(server)
    assert (stopped.value.id, stopped.value.exit_code) == ("E871", ExitCode.UNAVAILABLE)
    await server.close()


async def test_a_wrong_password_stops_the_run_and_is_not_shown(own):
    own.stop()
    own.start("--requirepass", "right")
    server = connect(own.url.replace("//", "//:wr0ng@"), [])
    with pytest.raises(StopRun) as stopped:
        await asked(server)
    assert (stopped.value.id, stopped.value.exit_code) == ("E870", ExitCode.AUTH)
    assert "wr0ng" not in f"{stopped.value} {stopped.value.fix} {server._settings!r}"
    await server.close()
    right = connect(own.url.replace("//", "//:right@"), [])
    assert await asked(right) == [1]
    await right.close()


async def test_a_user_with_the_rights_of_the_page_may_do_all_that_is_needed(own):
    page = (ROOT / "docs/many-hosts.md").read_text()
    (rules,) = (line for line in page.splitlines() if line.startswith("user batch on"))
    _, name, *words = rules.replace("PASSWORD", "pw").split()
    with redis.Redis(port=own.port) as admin:
        admin.execute_command("ACL", "SETUSER", name, *words)
    server = connect(own.url.replace("//", "//batch:pw@"), [])
    server.prefix = "claudebatch:{x}"
    start = PoolStart("p", PoolLimits(requests_per_minute=60), in_flight=9, most_in_flight=9)
    pool = RedisPool(server, start, now=time.monotonic)
    admitted = await pool.admit(ExpectedUsage(1, 1))
    assert isinstance(admitted, Admitted)
    assert isinstance(await pool.admit(ExpectedUsage(1, 1)), Delayed)
    await pool.settle(admitted.booking, Usage(), None)
    with pytest.raises(StopRun) as stopped:
        await server.run(COUNTS, ["theirs"])
    assert stopped.value.id == "E870"
    await server.close()


async def test_a_server_that_is_full_is_waited_for(own):
    own.stop()
    own.start("--maxmemory", "100kb", "--maxmemory-policy", "noeviction")
    server = connect(own.url, told := [])
    with pytest.raises(ServerAway):
        await server.run(Script("return {redis.call('SET', KEYS[1], 'x')}", "0" * 40), ["p:n"])
    assert "memory" in told[0].text
    await server.close()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make certificates")
async def test_certificates_of_ones_own_are_taken_from_a_file_and_no_others_are(own, tmp_path):
    own.stop()
    key, certificate = tmp_path / "key.pem", tmp_path / "ours.pem"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    names = ["-subj", "/CN=ours", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["-days", "1", "-keyout", str(key), "-out", str(certificate)]
    command = ["openssl", "req", "-x509", "-nodes", *curve, *names, *made]
    subprocess.run(command, check=True, capture_output=True)
    files = ["--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
    port = str(own.port)
    own.start("--port", "0", "--tls-port", port, "--tls-auth-clients", "no", *files)
    url = own.url.replace("redis", "rediss")
    server = connect(url, told := [])
    with pytest.raises(ServerAway):
        await asked(server)
    assert "certificate" in told[0].text.lower()
    await server.close()
    trusting = connect(url, [], ca=str(certificate))
    assert await asked(trusting) == [1]
    await trusting.close()


async def test_without_the_package_it_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "redis", None)
    with pytest.raises(ConfigError) as refused:
        connected(SharedSettings("redis://h", "h:6379"))
    assert refused.value.id == "E872"
