"""`claudebatch spend` after real runs: exact to the last digit by whatever it is asked,
and what was saved.
"""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from decimal import Decimal

from claudebatch.core.domain import Usage, to_usd
from claudebatch.models.prices import PriceBook
from claudebatch.storage.journal.checksums import renew_checksums
from tests.e2e.world import prompts

COMMAND = ("run", "in.jsonl", "-o", "out.jsonl")
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


ENDINGS = [
    {"id": "whole", "prompt": "hello"},
    {"id": "refused", "prompt": "[[simulate: refusal]]", "model": OPUS},
    {"id": "cut", "prompt": "[[simulate: tokens 900]]", "max_tokens": 50},
    {"id": "empty", "prompt": "[[simulate: empty]]"},
    {"id": "again", "prompt": "hello"},
]
COUNTED = ("answers", "complete", "cut_off", "refused", "empty", "unclassified")


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


def counted(line: dict) -> list[int]:
    return [line[name if name == "answers" else f"{name}_answers"] for name in COUNTED]


def test_answers_are_counted_by_how_they_ended(world, api):
    run(world, ENDINGS, "out.jsonl")
    assert counted(spend(world)["total"]) == [4, 1, 1, 1, 1, 0]
    by_model = {line["label"]: line for line in spend(world, "--by", "model")["lines"]}
    assert counted(by_model[OPUS]) == [1, 0, 0, 1, 0, 0]
    said = "Of 4 answers: 1 complete · 1 cut off · 1 refused · 1 empty."
    assert said in world.claudebatch("spend").out
    assert "refused_answers" in world.claudebatch("spend", "--format", "csv").out
    # From the journal alone it is the same.
    (world.home / "state" / "spend.sqlite").unlink()
    run(world, ENDINGS, "out.jsonl")
    assert counted(spend(world)["total"]) == [4, 1, 1, 1, 1, 0]
    # A row that is asked again is paid again: both answers count, cut off as they are.
    assert world.claudebatch(*COMMAND, "--retry-cut").code == 0
    assert counted(spend(world)["total"]) == [5, 1, 2, 1, 1, 0]


def test_answers_of_before_endings_were_noted_count_as_neither(world, api):
    run(world, ENDINGS, "out.jsonl")
    journal = sqlite3.connect(world.path("out.jsonl.claudebatch") / "journal.sqlite")
    journal.execute("UPDATE attempts SET ending = 0")
    renew_checksums(journal, [n for (n,) in journal.execute("SELECT attempt FROM attempts")])
    journal.executescript("ALTER TABLE attempts DROP COLUMN ending; PRAGMA user_version = 4")
    journal.close()
    ledger = sqlite3.connect(world.home / "state" / "spend.sqlite")
    for (view,) in ledger.execute("SELECT name FROM sqlite_schema WHERE type = 'view'").fetchall():
        ledger.execute(f"DROP VIEW {view}")
    ledger.execute("ALTER TABLE attempts DROP COLUMN ending")
    for name in COUNTED[1:5]:
        ledger.execute(f"ALTER TABLE spend DROP COLUMN {name}")
    ledger.close()
    assert counted(spend(world)["total"]) == [4, 0, 0, 0, 0, 4]
    assert world.claudebatch("runs", "check", "out.jsonl").code == 0
    # The run goes on, and what it pays from now on is told apart.
    run(world, [*ENDINGS, {"id": "new", "prompt": "more"}], "out.jsonl")
    assert counted(spend(world)["total"]) == [5, 1, 0, 0, 0, 4]
    assert world.claudebatch("runs", "check", "out.jsonl").code == 0
