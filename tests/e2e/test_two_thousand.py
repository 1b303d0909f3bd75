"""The main job at a size where everything happens at once: shapes, models, routes,
limits and faults.
"""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal

from claudebatch.core.domain import to_usd
from claudebatch.inputs import Defaults, parse_line
from claudebatch.simulator import SimulatedAllowance

COUNT = 2000
HAIKU, SONNET, OPUS = "claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5"
CONFIG = """\
model: claude-sonnet-5-5
limits:
  tier: none
  pools:
    haiku-5.5:
      requests_per_minute: 24000
      input_tokens_per_minute: 60000000
      output_tokens_per_minute: 60000000
    sonnet-5.5:
      requests_per_minute: 24000
      input_tokens_per_minute: 60000000
      output_tokens_per_minute: 60000000
    opus-5.5:
      requests_per_minute: 24000
      input_tokens_per_minute: 60000000
      output_tokens_per_minute: 60000000
retry: {base_s: 0.005, cap_s: 0.05}
routes:
  - name: hard
    when: {tags: [hard]}
    model: claude-opus-5-5
  - name: short
    when: {input_tokens: {max: 60}, has_tools: false, has_schema: false}
    model: claude-haiku-5-5
"""
LIMITS = SimulatedAllowance(rpm=24_000, itpm=60_000_000, otpm=60_000_000, burst_seconds=1.0)
FAULTS = {"529": 0.01, "500": 0.01, "reset": 0.01}

TOOL = {
    "name": "lookup",
    "description": "Looks up.",
    "input_schema": {"type": "object", "properties": {}},
}
FORMAT = {
    "type": "json_schema",
    "schema": {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    },
}


def long(n):
    return f"Question {n}: " + "why is it that these words are many? " * 12


SHAPES = [
    lambda n: f"Plain string {n}",
    lambda n: {"prompt": f"Short {n}"},
    lambda n: {"id": f"long-{n}", "question": long(n), "system": "Answer with care."},
    lambda n: {
        "id": n,
        "messages": [{"role": "user", "content": f"m {n}"}],
        "max_tokens": 300,
        "model": HAIKU,
    },
    lambda n: {
        "custom_id": f"a-{n}",
        "params": {
            "model": OPUS,
            "max_tokens": 200,
            "messages": [{"role": "user", "content": f"batch {n}"}],
        },
    },
    lambda n: {
        "custom_id": f"o-{n}",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": f"open {n}"},
            ],
            "max_completion_tokens": 250,
            "tools": [
                {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
            ],
        },
    },
    lambda n: {
        "id": f"tool-{n}",
        "prompt": f"use a tool {n}",
        "tools": [TOOL],
        "tool_choice": {"type": "auto"},
    },
    lambda n: {
        "id": f"schema-{n}",
        "prompt": f"extract {n}",
        "output_config": {"format": FORMAT, "effort": "low"},
    },
    lambda n: {
        "id": f"hard-{n}",
        "prompt": f"prove {n}",
        "tags": ["hard"],
        "thinking": {"type": "adaptive"},
    },
    lambda n: {
        "id": f"talk-{n}",
        "messages": [
            {"role": "user", "content": f"first {n}"},
            {"role": "assistant", "content": "yes?"},
            {"role": "user", "content": [{"type": "text", "text": f"second {n}"}]},
        ],
        "metadata": {"user_id": f"u{n % 7}", "team": "x"},
        "stop_sequences": ["Nobody"],
    },
]


def rows():
    return [SHAPES[n % len(SHAPES)](n) for n in range(COUNT)]


def expected_ids(path):
    defaults = Defaults(max_tokens=8192, system=None, text=False)
    lines = path.read_bytes().splitlines()
    return [parse_line(line, defaults, file="", line=n).id for n, line in enumerate(lines, 1)]


def test_two_thousand_mixed_prompts_through_limits_and_faults(world, serve):
    world.path("claudebatch.yaml").write_text(CONFIG)
    path = world.write("in.jsonl", rows())
    api = serve(limits=LIMITS, faults=FAULTS, latency="uniform:0.001,0.02")

    done = world.claudebatch("run", "in.jsonl", "-o", "out.jsonl", "--yes")
    assert done.code == 0, done.err
    stats = api.stats()
    results = world.results()

    assert sorted(map(str, results)) == sorted(expected_ids(path))
    assert len(results) == COUNT
    assert {line["status"] for line in results.values()} == {"succeeded"}
    check_routes(results)
    check_money(world, results, stats)
    assert stats["by_status"]["200"] == COUNT, "every prompt was answered once"
    assert stats["duplicates"] == 0
    assert stats["rate_limited"] == 0, "our pace stays below the limits"
    assert sum(stats["faults"].values()) > COUNT * 0.015, "there were faults to survive"
    assert stats["requests"] == COUNT + sum(stats["faults"].values())
    assert set(stats["by_model"]) == {HAIKU, SONNET, OPUS}

    before = world.path("out.jsonl").read_bytes()
    again = world.claudebatch("run", "in.jsonl", "-o", "out.jsonl")
    assert again.code == 0
    assert api.requests == stats["requests"], "a finished run sends nothing"
    assert world.path("out.jsonl").read_bytes() == before


def check_routes(results):
    found = Counter((line["route"], line["model"]) for line in results.values())
    tenth = COUNT // len(SHAPES)
    assert found == {
        ("short", HAIKU): 3 * tenth,  # plain strings, short prompts, talk
        ("line", HAIKU): tenth,
        ("line", OPUS): tenth,
        ("hard", OPUS): tenth,
        ("default", SONNET): 4 * tenth,  # long ones, tools in both spellings, schema
    }
    for id_, line in results.items():
        assert line["requested_model"] == line["model"]
        assert line["text"], id_
        assert line["stop_reason"] in ("end_turn", "stop_sequence", "max_tokens")
        if str(id_).startswith("schema-"):
            assert "n" in json.loads(line["text"])


def check_money(world, results, stats):
    billed = stats["billed_pico"]
    assert world.settled() == billed > 0
    spent, held = world.ledger()
    assert spent == billed
    assert sum(Decimal(line["cost_usd"]) for line in results.values()) == to_usd(billed)
    # A reset comes before the simulator bills; we cannot know that, so it counts as
    # unknown at its worst case.
    unknown = world.query("SELECT count(*), sum(worst) FROM attempts WHERE state = 3")[0]
    assert unknown[0] == stats["faults"]["reset"] > 0
    assert held == unknown[1]
    states = dict(world.query("SELECT state, count(*) FROM attempts GROUP BY state"))
    assert states == {1: COUNT, 2: stats["faults"]["529"] + stats["faults"]["500"], 3: unknown[0]}
