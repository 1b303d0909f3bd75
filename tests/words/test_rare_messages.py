"""Messages that no short command provokes, each made by the part that says it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from claudebatch.cli.process_guard import check_words
from claudebatch.config.yaml_file import read_yaml
from claudebatch.core.errors import ClaudebatchError
from claudebatch.inputs.parse_line import BadRow, Defaults, parse_line
from claudebatch.simulator.settings import SimulatorSettings

TURN = {"role": "user", "content": "x"}


def line(value: object) -> Callable[[Path], object]:
    return lambda folder: parse_line(
        json.dumps(value).encode(), Defaults(max_tokens=8, extra="refuse"), file="in.jsonl", line=1
    )


def configured(text: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        path = folder / "c.yaml"
        path.write_text(text)
        return read_yaml(path)

    return read


MESSAGES: dict[str, Callable[[Path], object]] = {
    "E012": lambda folder: check_words(["run", "in\udcff.jsonl"], {}),
    "E127": configured("# " + "x" * 20_000_000),
    "E324": line({"messages": [TURN] * 100_001}),
    "E331": line({"prompt": "x" * 70_000_000}),
    "E333": line({"id": "x" * 10_000, "prompt": "x"}),
    "E346": line({"prompt": "x", **{f"no such field {n}": 1 for n in range(2000)}}),
    "E912": lambda folder: SimulatorSettings(max_concurrency=0),
}


@pytest.mark.parametrize("id", MESSAGES)
def test_a_rare_message_is_made(id: str, tmp_path: Path) -> None:
    with pytest.raises((ClaudebatchError, BadRow)) as raised:
        MESSAGES[id](tmp_path)
    error = raised.value
    found = [problem.id for problem in error.problems] if isinstance(error, BadRow) else [error.id]
    assert id in found
