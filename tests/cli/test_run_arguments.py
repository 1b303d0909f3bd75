"""What `run` and `estimate` are given reaches the run: as an option of it, or as
configuration.
"""

from __future__ import annotations

import inspect
from dataclasses import fields, replace
from decimal import Decimal

import pytest

from claudebatch.cli.estimate import estimate
from claudebatch.cli.options import OnBadRow, Redo, Unknown
from claudebatch.cli.run import run
from claudebatch.cli.run_flags import RunFlags
from claudebatch.cli.wiring.run_arguments import config_flags, run_options
from claudebatch.config.sections import Config
from claudebatch.core.errors import ClaudebatchError
from claudebatch.setup.run_options import RunOptions

GIVEN = RunFlags(
    inputs=["a.jsonl", "b.jsonl"],
    output="-",
    limit=5,
    text=True,
    budget=Decimal(5),
    yes=True,
)
OF_THE_COMMAND = {
    "config",
    "dry_run",
    "yes",
    "json",
    "quiet",
    "verbose",
    "log",
    "log_prompts",
    "no_progress",
    # From where it sends.
    "processes",
    "engine",
    # Another word for `--via batch`, and a time that is read into seconds.
    "batch",
    "deadline",
}
OF_THE_SELECTION = {"sample", "seed", "rows", "id", "where"}
"""Parts of one option of a run."""
NOBODY_GIVES = {"base_url", "command", "jinja", "deadline_s"}
"""To a run; a deadline is read into seconds."""


def test_every_parameter_is_an_option_of_the_run_or_configuration_or_the_commands_own():
    options, flags = (
        {field.name for field in fields(RunOptions)} - NOBODY_GIVES - {"selection"}
        | OF_THE_SELECTION,
        set(config_flags(GIVEN)),
    )
    assert flags <= set(Config.__struct_fields__)
    assert not options & flags
    assert set(inspect.signature(run).parameters) == options | flags | OF_THE_COMMAND
    assert set(inspect.signature(estimate).parameters) <= options | flags | OF_THE_COMMAND


def test_values_are_taken_by_their_names(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/somewhere/claudebatch", "run", "a.jsonl"])
    assert run_options(GIVEN) == RunOptions(
        inputs=("a.jsonl", "b.jsonl"),
        output="-",
        limit=5,
        text=True,
        command=("claudebatch", "run", "a.jsonl"),
    )
    flags = config_flags(replace(GIVEN, on_bad_row=OnBadRow.skip))
    assert {name: value for name, value in flags.items() if value is not None} == {
        "budget": Decimal(5),
        "on_bad_row": "skip",
    }
    assert type(flags["on_bad_row"]) is str


def test_every_option_of_a_run_is_handed_on():
    """A field that nobody passed on would be an option without an effect."""
    flags = RunFlags(inputs=["in.jsonl"])
    others = {
        "unknown": Unknown.skip,
        "redo": Redo.changed,
        "on_bad_row": OnBadRow.skip,
        **dict.fromkeys(("output", "model", "system", "tag", "max_outage"), "x"),
        **dict.fromkeys(("max_tokens", "concurrency", "limit", "count_rows", "max_failures"), 7),
        "budget": Decimal(7),
        "model_map": "a=b",
        "drop": "c",
        "columns": "id,answer",
        "template": "{a}",
        "var": ["a=b"],
        "input_format": "csv",
        "shape": "alpaca",
        **{"sample": 7, "seed": 7, "rows": "7", "id": "a", "where": ["a=b"]},
        "extra": "refuse",
        "schema": "name, age int",
    }
    for name in {field.name for field in fields(RunFlags)} - OF_THE_COMMAND - {"inputs"}:
        # A seed is one of a sample.
        more = {"sample": 7} if name == "seed" else {}
        changed = replace(flags, **more, **{name: others.get(name, True)})
        usual = (run_options(replace(flags, **more)), config_flags(flags))
        assert (run_options(changed), config_flags(changed)) != usual, name


def test_no_row_is_an_error_only_where_it_is_called_one():
    RunOptions(("in.jsonl",)).require_rows(False)
    RunOptions(("in.jsonl",), fail_on_empty=True).require_rows(True)
    with pytest.raises(ClaudebatchError, match=r"in\.jsonl: no row"):
        RunOptions(("in.jsonl",), fail_on_empty=True).require_rows(False)
