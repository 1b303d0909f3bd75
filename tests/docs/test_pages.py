"""The pages in docs/ name what exists: links, files, fields, faults."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from claudebatch.core.domain import (
    Call,
    Failed,
    Failure,
    Prompt,
    PromptSavings,
    Reply,
    Route,
    Size,
    Succeeded,
    Usage,
)
from claudebatch.core.events import ConcurrencyChanged, RunStarted
from claudebatch.core.reports import (
    Basis,
    Elsewhere,
    Estimate,
    EstimateLine,
    RestOfRun,
    RunSummary,
)
from claudebatch.core.reports.shared_waits import SharedWaits
from claudebatch.core.result_lines import head, line, place
from claudebatch.core.stats.run_stats import RunStats
from claudebatch.simulator import FAULT_NAMES
from claudebatch.ui.machine import json_events
from claudebatch.ui.tables.estimate_tables import estimate_json
from claudebatch.ui.tables.run_summary import summary_json
from tests.docs.console import blocks

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
CALL = Call(
    1,
    Prompt("a", {}),
    Route("claude-sonnet-5-5", "default"),
    "claude-sonnet-5-5",
    b"{}",
    Size(1, 1, 1, 1),
)


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path):
    links = re.findall(r"\]\(([^)#]+)", path.read_text())
    assert [link for link in links if "://" not in link and not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_file_that_is_named_exists(path):
    named = re.findall(
        r"`((?:tests|claudebatch|benchmarks|sample_inputs|\.ci)/[\w./-]+)`", path.read_text()
    )
    assert [name for name in named if not (ROOT / name).exists()] == []


def shown_and_real() -> list[tuple[dict, dict]]:
    reply = Reply(b"{}", "claude-sonnet-5-5", "", "end_turn", Usage())
    failed = Failed(CALL, Failure("overloaded_error", "Overloaded", 529, "req", True), 6, 0)
    shown = [json.loads(block) for block in blocks(page("results-format.md"), "json")]
    return list(
        zip(
            shown,
            [
                json.loads(
                    line(head(Succeeded(CALL, reply)), b"{}", place(17, "a", b'{"region":"x"}'))
                ),
                json.loads(line(head(failed), None, place(18, "a", b""))),
            ],
            strict=True,
        )
    )


@pytest.mark.parametrize(("shown", "real"), shown_and_real(), ids=["succeeded", "failed"])
def test_an_example_line_has_the_fields_of_a_real_one_in_their_order(shown, real):
    assert list(shown) == list(real)
    assert list(shown.get("error", ())) == list(real.get("error", ()))


def test_every_field_of_a_result_line_is_explained():
    text = page("results-format.md")
    reply = Reply(
        b"{}", "m", "", "end_turn", Usage(), simulated=True, fallback_reason="overloaded_error"
    )
    whole = json.loads(line(head(Succeeded(CALL, reply)), b"{}"))
    assert [name for name in whole if f"`{name}`" not in text] == []


def test_every_field_of_the_last_event_is_explained():
    fields = dict.fromkeys(RunSummary.__dataclass_fields__, 0)
    mappings = {"failures": {}, "failure_examples": {}, "endings": {}}
    objects = {"usage": Usage(), "bound_by": (), "rest": RestOfRun(1, 2, 1, 3, 4.0)}
    objects["prompt_cache"] = PromptSavings()
    objects["shared"] = SharedWaits()
    summary = RunSummary(**{**fields, **mappings, **objects})
    text = page("json-events.md")
    found = summary_json(summary)
    names = [*found, *found["usage"], *found["rest"], *found["shared"]]
    assert [name for name in names if f"`{name}`" not in text] == []


class Stream:
    def __init__(self) -> None:
        self.lines: list[dict] = []

    def write(self, text: str) -> None:
        self.lines += [json.loads(one) for one in text.splitlines()]

    def flush(self) -> None: ...


def test_every_field_of_the_first_event_and_of_progress_is_explained():
    stream = Stream()
    stats = RunStats(lambda: 0.0)
    events = json_events.JsonEvents(stream, stats, now=lambda: 0.0, own_thread=False)
    started = RunStarted("run", 1, 0, 0, None, "out", False)
    stats(ConcurrencyChanged("sonnet-5.5", 12))
    stats(started)
    events(started)
    events.tick()
    start, progress = stream.lines
    names = [*start, *progress, *progress["pools"]["sonnet-5.5"]]
    assert [name for name in names if f"`{name}`" not in page("json-events.md")] == []


def test_the_protocols_in_the_code_and_in_the_docs_name_the_same_events():
    in_docs = re.findall(r"^## `(\w+)`", page("json-events.md"), re.MULTILINE)
    in_code = re.findall(r"^(\w+) {2,}\S", json_events.__doc__ or "", re.MULTILINE)
    assert in_docs == in_code


def test_every_fault_of_the_simulator_is_explained():
    rows = re.findall(r"^\| ((?:`\w+` ?)+)\|", page("simulator.md"), re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == FAULT_NAMES


def test_every_field_of_an_estimate_is_explained():
    basis = Basis("history", 1, 1.0, 0.1, 1, 2)
    line = EstimateLine("m", "r", 1, 0, 1, 1, 0, 0, 0, inputs=basis, outputs=basis)
    found = estimate_json(Estimate(1, 0, 0, (line,), None, "o", elsewhere=(Elsewhere("m", 1, 1),)))
    (route,), (other,) = found["routes"], found["elsewhere"]
    names = [*found, *route, *other, *route["input_basis"]]
    assert [name for name in names if f"`{name}`" not in page("estimate.md")] == []
