"""`cache why FILE:LINE` asks for the same request as a run with the same options: the
keys of both are equal, whatever the input's shape and the options are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from claudebatch.cli.run_flags import RunFlags
from claudebatch.cli.wiring.api_target import key_scope
from claudebatch.cli.wiring.cache_questions import file_line, questions
from claudebatch.cli.wiring.configured import configured
from claudebatch.cli.wiring.run_arguments import config_flags, run_options
from claudebatch.core.errors import ClaudebatchError
from claudebatch.setup.stack import Keys
from claudebatch.setup.validate_input import Intake, InvalidInput
from tests.support.parts import TODAY

FILES = {
    "in.jsonl": '"One?"\n\n{"id": "two", "prompt": "Two?", "max_tokens": 9}\n"One?"\n',
    "t.csv": "id,city\na,Porto\nb,Lisbon\n",
    "batch.jsonl": '{"custom_id": "x", "params": {"model": "claude-haiku-5-5", "max_tokens": 5, '
    '"messages": [{"role": "user", "content": "Hi"}]}}\n',
    "c.yaml": "model: claude-opus-5-5\nsystem: From the file.\nrepeat: 2\nroutes:\n"
    "  - {name: porto, when: {prompt_matches: Porto}, model: claude-haiku-5-5}\n",
}
OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("in.jsonl", {}),
    "a model": ("in.jsonl", {"model": "haiku"}),
    "a system prompt": ("in.jsonl", {"system": "Be brief.", "max_tokens": 77}),
    "a template": ("t.csv", {"template": "Is it raining in {city}?"}),
    "several answers": ("t.csv", {"template": "Rain in {city}?", "repeat": 3}),
    "a schema": ("t.csv", {"template": "Rain in {city}?", "schema": "rain: yes|no"}),
    "a batch file": ("batch.jsonl", {}),
    "a configuration": ("t.csv", {"template": "Rain in {city}?", "config": Path("c.yaml")}),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANTHROPIC_BASE_URL", raising=False)
    return tmp_path


def of_a_run(flags: RunFlags) -> dict[int, list[str]]:
    """The keys that a run gives its rows, by their line."""
    options = run_options(flags)
    _, run_setup = configured(options, config_flags(flags), flags.config, at=TODAY)
    intake = Intake(run_setup, [Path(flags.inputs[0])], limit=None, key=Keys(key_scope(options)).of)
    found: dict[int, list[str]] = {}
    for record in intake.records():
        found.setdefault(record.line, []).append(record.key.hex())
    return found


def asked(flags: RunFlags, line: int) -> list[str]:
    found = questions(run_options(flags), config_flags(flags), config=flags.config, at_line=line)
    return [question.key for question in found]


@pytest.mark.parametrize("name", OPTIONS)
def test_a_line_has_the_key_that_a_run_gives_it(name: str):
    file, options = OPTIONS[name]
    flags = RunFlags(inputs=[file], **options)
    keys = of_a_run(flags)
    assert keys and len({key for some in keys.values() for key in some}) >= len(keys) - 1
    for line, expected in keys.items():
        assert asked(flags, line) == expected


def test_an_address_of_another_is_part_of_the_key(monkeypatch: pytest.MonkeyPatch):
    flags = RunFlags(inputs=["in.jsonl"])
    (own,) = asked(flags, 1)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "https://gw.example")
    (found,) = questions(run_options(flags), config_flags(flags), config=None, at_line=1)
    assert found.key != own
    assert found.request is not None and found.request.place.startswith("gw.example")


def test_a_row_is_found_by_its_id_as_well():
    flags = RunFlags(inputs=["in.jsonl"], id="two")
    found = questions(run_options(flags), config_flags(flags), config=None, at_line=None)
    assert [one.key for one in found] == asked(RunFlags(inputs=["in.jsonl"]), 3)


@pytest.mark.parametrize("line", [2, 5, 99])
def test_a_line_without_a_row_is_an_error(line: int):
    with pytest.raises(ClaudebatchError) as told:
        asked(RunFlags(inputs=["in.jsonl"]), line)
    assert told.value.id == "E805"


def test_a_line_that_cannot_be_sent_says_why():
    Path("bad.jsonl").write_text('{"prompt": 7}\n')
    with pytest.raises(InvalidInput):
        asked(RunFlags(inputs=["bad.jsonl"]), 1)


def test_only_a_file_that_there_is_makes_a_line_of_a_name():
    assert file_line("in.jsonl:3") == ("in.jsonl", 3)
    assert [file_line(text) for text in ("none.jsonl:3", "review:17", "in.jsonl", ":3")] == [
        None
    ] * 4
