"""`claudebatch simulate` serves until it is told to stop."""

from __future__ import annotations

import asyncio
import json
import signal
import sys

import pytest


async def start(*arguments):
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "claudebatch",
        "simulate",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ask(url, raw, hear, *request):
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(raw(*request))
    heard = await hear(reader)
    writer.close()
    await writer.wait_closed()
    return heard


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_it_says_where_it_listens_and_ends_well_on_a_signal(raw, hear, body, number):
    process = await start(
        "--latency", "fixed:0", "--rpm", "60", "--fault", "cut=0", "--script", "529, ok"
    )
    first = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
    assert first.startswith("listening on http://127.0.0.1:")
    url = first.split()[-1]
    statuses = [
        (await ask(url, raw, hear, "POST", "/v1/messages", body())).status for _ in range(2)
    ]
    stats = json.loads((await ask(url, raw, hear, "GET", "/__stats")).body)
    process.send_signal(number)
    _, talk = await asyncio.wait_for(process.communicate(), 60)
    assert statuses == [529, 200]
    assert stats["billed_usd"].startswith("0.000")
    assert stats["billed_pico"] > 0
    assert f"ANTHROPIC_BASE_URL={url} ANTHROPIC_API_KEY=simulated" in talk.decode()
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--latency", "soon"), "unknown distribution"),
        (("--fault", "529"), "probability is missing"),
        (("--rpm", "0"), "rpm must be above 0"),
    ],
)
async def test_an_option_that_makes_no_sense_is_an_error_that_says_so(arguments, reason):
    process = await start(*arguments)
    _, talk = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode != 0
    assert reason in talk.decode()


async def test_a_port_that_is_taken_is_an_error_that_says_so(serve):
    served = await serve()
    process = await start("--port", str(served.port))
    _, talk = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode != 0
    assert f"cannot listen on 127.0.0.1:{served.port}" in talk.decode()


async def test_importing_the_command_does_not_load_the_simulator():
    code = (
        "import sys, claudebatch.cli.simulate;"
        " print([m for m in sys.modules if 'simulator' in m or m == 'anthropic'])"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert out.decode().strip() == "[]"
