"""The README says what is true: its examples are run again, its picture and its tables
are compared with the code.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from claudebatch.config.load import load
from claudebatch.core.domain import Reply, Route, Usage
from claudebatch.core.endings import Ending
from claudebatch.core.errors import ExitCode
from claudebatch.core.result_lines import answer_head
from claudebatch.inputs import Defaults, parse_line
from tests.docs import picture
from tests.docs.console import Shell, alike, blocks, examples

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
EXAMPLES = list(examples(README))


@pytest.fixture(scope="module")
def printed(shell: Shell) -> list[str]:
    """What each example prints, in the README's order and in one folder: later ones
    build on earlier ones.
    """
    return [shell.run(example.command) for example in EXAMPLES]


@pytest.mark.parametrize(
    "number", range(len(EXAMPLES)), ids=[example.command for example in EXAMPLES]
)
def test_an_example_prints_what_the_readme_shows(number, printed, shell):
    home = shell.env["HOME"]
    assert alike(printed[number], home) == alike(EXAMPLES[number].output, home)


def test_every_command_has_an_example():
    shown = {
        example.command.split()[1]
        for example in EXAMPLES
        if example.command.startswith("claudebatch ")
    }
    assert shown == {"run", "estimate", "spend", "runs", "cache", "simulate"}
    assert all(f"`claudebatch {name}`" in README for name in ("models", "doctor"))


def test_the_picture_of_the_progress_is_what_the_display_draws():
    assert picture.PICTURE.read_text() == picture.drawn()


def test_the_readme_is_short_enough_to_be_read():
    assert len(README.split()) <= 2300


@pytest.mark.parametrize("command", blocks(README, "sh"))
def test_each_set_up_command_is_one_short_line(command):
    assert command.count("\n") == 1
    assert len(command) <= 120


def test_the_tests_run_with_locked_packages_only():
    script = (ROOT / "tests/set_up.sh").read_text()
    for install in re.findall(r"^[^#\n]*pip install (.*)", script, re.MULTILINE):
        assert ".lock" in install or ("--no-deps" in install and "--no-build-isolation" in install)


def test_the_most_frequent_messages_are_called_as_they_are():
    page = (ROOT / "docs/messages.md").read_text().replace("\\", "")
    said = dict(re.findall(r"^\| ([EWN]\d+) \| (.*?) \|", page, re.MULTILINE))
    shown = re.findall(r"^\| (E\d{3}) \| (.*?) \|", README, re.MULTILINE)
    assert len(shown) == 8
    for name, message in shown:
        # The page has … for what a message fills in.
        assert message.split(",")[0].split(" model")[0] in said[name], name


def test_the_input_lines_that_the_readme_shows_are_rows():
    lines = blocks(README, "json")[0].splitlines()
    defaults = Defaults(max_tokens=1000)
    prompts = [parse_line(one.encode(), defaults, file="p", line=1) for one in lines]
    assert [prompt.params["messages"][0]["role"] for prompt in prompts] == ["user"] * 3


def test_the_ways_to_read_answers_print_what_is_in_the_results(shell, tmp_path):
    jq = shutil.which("jq") or pytest.skip("jq is not installed")
    shell.run("claudebatch run sample_inputs/prompts.jsonl --simulate -o read.jsonl")
    results = (shell.folder / "read.jsonl").read_text()
    (tmp_path / "prompts.results.jsonl").write_text(results)
    rows = [json.loads(line) for line in results.splitlines()]
    texts, others, table = (
        subprocess.run(
            [jq, *shlex.split(command, comments=True)[1:]],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for command in next(block for block in blocks(README, "bash") if "jq" in block).splitlines()
    )
    assert texts == "".join(row["text"] + "\n" for row in rows)
    assert others.split() == [str(row["id"]) for row in rows if row["ending"] != "complete"]
    assert [cells[0] for cells in csv.reader(io.StringIO(table))] == [
        str(row["id"]) for row in rows
    ]


def test_the_table_that_pandas_reads_has_the_columns_that_the_readme_names():
    (program,) = blocks(README, "python")
    asked = ast.literal_eval(re.findall(r"\[(\[.*?\])\]", program)[0])
    reply = Reply(b"{}", "m", "", "end_turn", Usage())
    line = json.loads(answer_head("a", Route("m", "r"), reply, ended=Ending.COMPLETE) + b"}")
    assert set(asked) <= line.keys()


def test_the_first_two_sh_blocks_are_the_main_job_and_the_test_suite():
    main_job, test_suite = blocks(README, "sh")
    assert main_job.strip().endswith("claudebatch run sample_inputs/prompts.jsonl --simulate")
    assert test_suite.strip().endswith("pytest -q -n auto")


def layers_of_the_code() -> list[str]:
    tree = ast.parse((ROOT / "claudebatch/setup/stack.py").read_text())
    (nested,) = (
        node.args[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "nest"
    )
    made = {
        node.targets[0].id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    # Each element is a call such as `_retry(parts, outages)`, or a name for one.
    calls = (made[layer.id] if isinstance(layer, ast.Name) else layer for layer in nested.elts)
    return [_class_name(call.func.id) for call in calls]


def _class_name(function: str) -> str:
    return function.title().replace("_", "")


def test_the_picture_shows_the_layers_in_the_order_of_build_stack():
    design = (ROOT / "docs/design.md").read_text()
    picture = next(block for block in blocks(design, "text") if "Claude API" in block)
    assert re.findall(r"^ ([A-Z]\w+) {2,}", picture, re.MULTILINE) == layers_of_the_code()


def test_the_design_explains_the_layers_in_the_order_of_build_stack():
    design = (ROOT / "docs/design.md").read_text()
    assert re.findall(r"^\| ([A-Z]\w+) \|", design, re.MULTILINE) == layers_of_the_code()


def codes(table: str) -> set[int]:
    cells = re.findall(r"^\| (\d[\d, ]*) \|", table, re.MULTILINE)
    return {int(number) for cell in cells for number in cell.split(",")}


def test_the_exit_codes_of_the_page_are_those_of_the_code():
    assert codes((ROOT / "docs/exit-codes.md").read_text()) == set(map(int, ExitCode))


def test_the_readme_names_the_exit_codes_that_are_no_signal_and_no_bug():
    (named,) = re.findall(r"exit-codes\.md\)\s\((0 done.*?)\)", README, re.DOTALL)
    assert set(map(int, re.findall(r"\d+", named))) == {code for code in ExitCode if code < 70}


def test_the_page_on_exit_codes_names_each_code_as_the_code_does():
    page = (ROOT / "docs/exit-codes.md").read_text()
    assert dict(re.findall(r"^\| (\d+) \| `(\w+)` \|", page, re.MULTILINE)) == {
        str(int(c)): c.name for c in ExitCode
    }


def test_the_configuration_of_the_readme_can_be_loaded(tmp_path):
    (written,) = blocks(README, "yaml")
    (tmp_path / "claudebatch.yaml").write_text(written)
    config = load(None, {}, env={"HOME": str(tmp_path)}, folder=tmp_path).config
    budget = msgspec.structs.asdict(config.budget)
    assert (budget["run"], budget["day"], config.monitor.on_spike) == (5, 20, "pause")
    assert (config.limits.headroom, len(config.routes)) == ("10%", 2)


OPTIONS = sorted(set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README)))


def test_every_option_that_the_readme_names_exists():
    source = "".join(path.read_text() for path in (ROOT / "claudebatch/cli").rglob("*.py"))
    declared = set(re.findall(r'"(--[a-z-]+)', source))
    names = re.findall(r"^    (\w+): (?:Annotated|(?:options\.)?[A-Z]\w+ = )", source, re.MULTILINE)
    declared |= {"--" + name.replace("_", "-") for name in names}
    assert set(OPTIONS) <= declared | {"--help"}
