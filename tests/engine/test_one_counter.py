"""One session, three readers: display, `--json` and summary give the same numbers."""

from __future__ import annotations

import io
import json
import random
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from claudebatch.cli.wiring.observers import audience
from claudebatch.config.load import load
from claudebatch.config.paths import Paths
from claudebatch.core.domain import Call
from claudebatch.core.process_signals import signal_handler
from claudebatch.core.reports import RunSummary
from claudebatch.core.stats.run_stats import RunStats
from claudebatch.engine.dependencies import RunDependencies
from claudebatch.engine.open_run import open_run
from claudebatch.engine.session import Session
from claudebatch.setup.run_options import RunOptions
from claudebatch.setup.run_setup import RunSetup
from claudebatch.ui.live.frame import live_frame
from claudebatch.ui.live.plain_progress import PlainProgress
from claudebatch.ui.machine.json_events import JsonEvents
from claudebatch.ui.tables.run_summary import summary_json
from claudebatch.ui.terminal import Terminal
from tests.support.scripted import Answer, ScriptedClient, bad_request, overloaded, timed_out

CONFIG = """
model: claude-haiku-5-5
limits: {tier: none}
"""
EXPECTED = 1000


class Client(ScriptedClient):
    async def count(self, call: Call) -> int | None:
        return None

    async def objection(self, call: Call) -> str | None:
        return None

    async def close(self) -> None: ...


def answer(call: Call, before: int) -> Answer | None:
    text = call.prompt.params["messages"][0]["content"]
    if "bad" in text:
        return bad_request()
    if "lost" in text and before < 4:
        return timed_out()
    return overloaded() if before in (5, 9) else None


def wall() -> datetime:
    return datetime.now(UTC)


def _no_batches(*_: Any) -> Any:
    raise AssertionError("this run has no batches")


async def session(
    folder: Path, output: str, prompts: list[str]
) -> tuple[RunSummary, RunStats, str, str]:
    """The summary, the counter, and the output of a plain and of a `--json` display."""
    (folder / "in.jsonl").write_text(
        "".join(json.dumps({"id": str(n), "prompt": text}) + "\n" for n, text in enumerate(prompts))
    )
    (folder / "config.yaml").write_text(CONFIG)
    env = {
        "CLAUDEBATCH_STATE_DIR": str(folder / "state"),
        "CLAUDEBATCH_CACHE_DIR": str(folder / "cache"),
    }
    settings = load(folder / "config.yaml", {}, env=env, folder=folder).settings
    run_setup = RunSetup.set_up(settings, override=None, at=wall())
    paths = Paths.from_environment(env)
    options = RunOptions((str(folder / "in.jsonl"),), output=str(folder / output))
    stats, plain, events = RunStats(time.monotonic), io.StringIO(), io.StringIO()
    displays = (
        PlainProgress(
            Terminal(plain, {}), stats, now=time.monotonic, interval_s=0.0, own_thread=False
        ),
        JsonEvents(events, stats, now=time.monotonic, own_thread=False),
    )
    emit = audience(*displays)
    with open_run(
        options,
        run_setup,
        paths,
        stdin=io.BytesIO(),
        started=wall(),
        emit=emit,
        key_scope="",
    ) as run:
        dependencies = RunDependencies(
            paths=paths,
            connect=lambda: Client(answer, takes_s=0.001),
            connect_batches=_no_batches,
            row_failed=_no_batches,
            key_scope="",
            now=time.monotonic,
            wall=wall,
            rng=random.Random(7),
            emit=emit,
            stats=stats,
            most_in_flight=4,
            expect=lambda call: EXPECTED,
            signals=signal_handler(),
        )
        summary = await Session(options, run_setup, run, dependencies).go()
    displays[0].tick()
    for display in displays:
        display.done(summary)
    return summary, stats, plain.getvalue(), events.getvalue()


@pytest.fixture
async def ended(tmp_path: Path) -> tuple[RunSummary, RunStats, str, str]:
    await session(tmp_path, "first.jsonl", [f"known {n}" for n in range(6)])
    # The first request is never answered: it may be billed.
    prompts = ["lost", *(f"new {n}" for n in range(19)), *(f"known {n}" for n in range(6))]
    return await session(tmp_path, "second.jsonl", [*prompts, "new 1", "new 2", "bad 1", "bad 2"])


async def test_summary_json_and_display_give_the_same_numbers(ended: Any) -> None:
    summary, stats, plain, events = ended
    *_, progress, done = map(json.loads, events.splitlines())
    assert (progress["event"], done["event"]) == ("progress", "done")
    # Every kind of row and event is there, else equal numbers would prove little.
    assert (summary.succeeded, summary.failed) == (28, 2)
    assert summary.cached_now >= 6
    assert summary.answered_now + summary.cached_now + summary.shared_now == 28
    assert summary.retries >= 1
    assert summary.saved > 0
    assert summary.unknown > 10 * summary.spent > 0
    assert summary.expected_now == EXPECTED * summary.answered_now

    for name in ("rows", "succeeded", "failed", "requests", "retries", "unknown_attempts"):
        assert progress[name] == done[name] == getattr(summary, name), name
    assert (progress["cached"], progress["shared"]) == (done["cached_now"], done["shared_now"])
    assert done == {**summary_json(summary), **{key: done[key] for key in ("v", "event", "t")}}
    assert progress["spent_usd"] == done["spent_usd"]
    assert progress["saved_usd"] == done["saved_usd"]
    assert progress["unknown_usd"] == done["unknown_usd"]
    assert progress["done"] == summary.succeeded + summary.failed + summary.finished_before

    run = stats.snapshot(time.monotonic())
    assert (run.usage, run.failures, run.spent) == (summary.usage, summary.failures, summary.spent)
    assert (run.p50_ms, run.p95_ms) == (summary.p50_ms, summary.p95_ms)
    counts = [
        f"{number} {word}"
        for number, word in (
            (28, "ok"),
            (2, "failed"),
            (summary.cached_now, "cached"),
            (summary.shared_now, "shared"),
            (summary.retries, "retried"),
        )
        if number
    ]
    status = next(line for line in plain.splitlines() if " rows (" in line)
    assert status.startswith(", ".join(["30/30 rows (100 %)", *counts]))
    frame = "\n".join("".join(span.text for span in row) for row in live_frame(run, {}, width=100))
    assert " · ".join(counts) in frame
