"""`claudebatch spend` after real runs: exact to the last digit by whatever it is asked,
and what was saved.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

from claudebatch.core.domain import Usage, to_usd
from claudebatch.models.prices import PriceBook
from tests.e2e.world import prompts

OPUS, HAIKU = "claude-opus-5-5", "claude-haiku-5-5"
ROUTES = f"""
routes:
  - {{name: small, when: {{tags: small}}, model: {HAIKU}}}
  - {{name: hard, when: {{tags: hard}}, model: {OPUS}}}
"""


def spend(world, *arguments: str) -> dict:
    return json.loads(world.claudebatch("spend", *arguments, "--json").out)


def labels(report: dict, field: str = "spent_usd") -> dict[str, Decimal]:
    return {line["label"]: Decimal(line[field]) for line in report["lines"]}


def run(world, rows: list, output: str, *arguments: str) -> None:
    world.write("in.jsonl", rows)
    assert world.claudebatch("run", "in.jsonl", "-o", output, *arguments).code == 0


def test_every_view_of_the_ledger_adds_up_to_the_bill(world, serve):
    api = serve(faults={"529": 0.1}, seed=4)
    world.configure(ROUTES)
    rows = [
        *prompts(20),
        *({**row, "id": "s" + row["id"], "tags": ["small"]} for row in prompts(20)),
    ]
    run(world, rows, "a.jsonl", "--tag", "nightly")
    run(world, [{"id": "x", "prompt": "another", "model": OPUS}], "b.jsonl")
    billed = to_usd(api.stats()["billed_pico"])
    for by in ("run", "model", "day", "tag", "route"):
        report = spend(world, "--by", by)
        assert sum(labels(report).values()) == Decimal(report["total"]["spent_usd"]) == billed, by
        assert report["total"]["answers"] == 41
    assert set(labels(spend(world, "--by", "route"))) == {"default", "small", "line"}
    assert set(labels(spend(world, "--by", "tag"))) == {"nightly", ""}
    requests = spend(world, "--by", "run")["total"]["requests"]
    assert requests == api.stats()["requests"] > 41, "refused requests are attempts, too"


def test_what_the_cache_saved_is_what_the_rows_cost_the_first_time(world, api):
    run(world, prompts(10), "a.jsonl")
    run(world, [*prompts(10), {"id": "again", "prompt": "row-3"}], "b.jsonl")
    report = spend(world)
    # By name: runs that started within one second stand in any order.
    first, second = sorted(report["lines"], key=lambda line: line["note"].split()[-1])
    twice = Decimal(world.results("b.jsonl")["row-3"]["cost_usd"] or 0)
    assert (first["saved_by_cache_usd"], second["spent_usd"], twice) == ("0", "0", 0)
    again = Decimal(world.results("a.jsonl")["row-3"]["cost_usd"])
    assert Decimal(second["saved_by_cache_usd"]) == Decimal(first["spent_usd"]) + again
    assert second["cached_rows"] == 11
    assert world.claudebatch("run", "in.jsonl", "-o", "b.jsonl").code == 0
    assert spend(world) == report, (
        "looking again changes nothing, though the ledger was rebuilt from the journal"
    )


def test_what_routing_saved_is_the_difference_to_the_dearest_model_of_the_rules(world, api):
    world.configure(ROUTES)
    rows = [{**row, "tags": ["small"]} for row in prompts(5)]
    run(world, [*rows, {"id": "own", "prompt": "x", "model": HAIKU}], "a.jsonl")
    report = spend(world, "--by", "route")
    (small,) = (line for line in report["lines"] if line["label"] == "small")

    usage, prices = (
        Usage(small["input_tokens"], small["output_tokens"]),
        PriceBook.load(at=datetime.now(UTC)),
    )

    def at(model: str) -> Decimal:
        return to_usd(prices.cost(model, usage))

    assert Decimal(small["spent_usd"]) == at(HAIKU)
    assert Decimal(small["saved_by_routing_usd"]) == at(OPUS) - at(HAIKU) > 0
    assert labels(report, "saved_by_routing_usd")["line"] == 0, "who named the model was not routed"
    run(world, prompts(3), "b.jsonl", "--model", HAIKU)
    assert labels(spend(world, "--by", "route"), "saved_by_routing_usd")["--model"] == 0
