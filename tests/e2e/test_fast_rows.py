"""The 429s of fast mode are waited for by fast rows only."""

from __future__ import annotations

from claudebatch.simulator import SimulatedAllowance
from tests.e2e.world import prompts

MODEL = "claude-opus-5-5"
SENT = "SELECT a.sent_ms, a.status FROM attempts a JOIN rows r ON r.row = a.row WHERE r.lane = ?"


def test_a_fast_rows_429_does_not_stop_standard_rows(world, serve):
    serve(pool_limits={"opus-5.5-fast": SimulatedAllowance(itpm=40_000, rpm=12, burst_seconds=5)})
    fast = [{"id": f"fast-{n}", "prompt": f"hello {n}", "speed": "fast"} for n in range(2)]
    world.write("in.jsonl", [*fast, *prompts(40)])
    done = world.claudebatch("run", "in.jsonl", "-o", "out.jsonl", "--json", "-m", MODEL)
    assert done.code == 0, done.err
    fast_sent, sent = (world.query(SENT, lane) for lane in ("opus-5.5-fast", "opus-5.5"))
    assert [status for _, status in fast_sent].count(429) >= 1
    assert {status for _, status in sent} == {200} and len(sent) == 40
    assert max(at for at, _ in sent) < max(at for at, _ in fast_sent)
