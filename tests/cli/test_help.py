"""What `--help` promises: every command by example, every exit code, and examples that
are no lies.
"""

from __future__ import annotations

import re
import shlex
import sys

import pytest
import typer.main

from claudebatch import __version__
from claudebatch.__main__ import main
from claudebatch.cli.main import app
from claudebatch.core.errors import ExitCode


def leaves(command, path=()):
    """Every command that does something, with the words that call it."""
    children = getattr(command, "commands", {})
    if not children:
        return [(path, command)]
    return [leaf for name, child in children.items() for leaf in leaves(child, (*path, name))]


COMMANDS = leaves(typer.main.get_command(app))


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a command line: (code, stdout, stderr)."""

    def call(*arguments, columns=300):
        monkeypatch.setattr(sys, "argv", ["claudebatch", *arguments])
        monkeypatch.setenv("COLUMNS", str(columns))
        code = 0
        try:
            main()
        except SystemExit as leaving:
            code = leaving.code
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


def test_every_command_is_here():
    assert {path for path, _ in COMMANDS} == {
        ("run",),
        ("estimate",),
        ("render",),
        ("shapes",),
        ("export",),
        ("models",),
        ("spend",),
        ("doctor",),
        ("simulate",),
        ("help",),
        ("runs", "list"),
        ("runs", "check"),
        ("runs", "rebuild"),
        ("runs", "show"),
        ("runs", "settle"),
        ("runs", "purge"),
        ("batches", "list"),
        ("batches", "show"),
        ("batches", "collect"),
        ("batches", "attach"),
        ("batches", "cancel"),
        ("batches", "delete"),
        ("shared", "status"),
        ("shared", "release"),
        ("shared", "restore"),
        *(("cache", name) for name in ("ls", "show", "why", "stats", "verify", "prune")),
        *(("cache", name) for name in ("export", "import", "path", "clear")),
    }


@pytest.mark.parametrize("path", [path for path, _ in COMMANDS], ids=" ".join)
def test_every_help_says_what_it_does_and_shows_examples_that_can_be_parsed(run, path):
    code, out, err = run(*path, "--help")
    assert (code, err) == (0, "")
    assert re.search("Examples?:", out)
    command = dict(COMMANDS)[path]
    examples = re.findall(r"^ *(?:.*\| )?claudebatch (.+)$", command.help, re.MULTILINE)
    assert examples
    for example in examples:
        words = shlex.split(example)
        assert tuple(words[: len(path)]) == path
        command.make_context(" ".join(path), words[len(path) :])
    assert run(*path, "-h")[1] == out


def _typed(help_text):
    (block,) = re.findall(r"Examples?:\n\n((?: .*\n)+)", help_text)
    joined = re.sub(r" \\\n +", " ", block)
    return re.findall(r"^ +(?:.* \| )?claudebatch (.+)$", joined, re.MULTILINE)


GROUPS = [(), ("runs",), ("cache",), ("shared",)]


@pytest.mark.parametrize("path", GROUPS, ids=" ".join)
def test_every_group_of_commands_shows_examples(run, path):
    examples = re.findall(r"^ +claudebatch (.+)$", run(*path, "-h")[1], re.MULTILINE)
    assert examples
    for words in map(shlex.split, examples):
        assert [leaf for leaf, _ in COMMANDS if leaf == tuple(words[: len(leaf)])]


@pytest.mark.parametrize("columns", [40, 60, 80, 110])
@pytest.mark.parametrize("path", [*GROUPS, *(path for path, _ in COMMANDS)], ids=" ".join)
def test_help_fits_the_terminal_and_breaks_no_word_and_no_command(run, path, columns):
    told = run(*path, "-h", columns=columns)[1]
    # A pipe is one command that stays whole; its second half alone would be another.
    wide = [line for line in told.splitlines() if len(line) > columns and " | " not in line]
    assert wide == []
    whole = run(*path, "-h")[1]
    assert _typed(told) == _typed(whole), "as a shell reads them"
    words = set(whole.split())
    assert {word for word in told.split() if word != "\\"} - words == set()


def test_help_of_a_command_is_what_its_own_option_prints(run):
    for path in ((), ("run",), ("runs", "list"), ("cache",)):
        assert run("help", *path) == run(*path, "-h")
    code, out, err = run("help", "rnu")
    assert (code, out) == (2, "") and "rnu" in err


@pytest.mark.parametrize("path", [path for path, _ in COMMANDS], ids=" ".join)
def test_every_option_says_what_it_is_for(path):
    for parameter in dict(COMMANDS)[path].params:
        if parameter.param_type_name == "option":
            assert parameter.help, parameter.name
            assert len(parameter.help) < 90


@pytest.mark.parametrize("arguments", [("--help",), ("run", "--help")], ids=" ".join)
def test_the_exit_codes_are_all_published(run, arguments):
    words = " ".join(run(*arguments)[1].split())
    codes = words.partition("Exit codes: ")[2]
    for code in ExitCode:
        assert re.search(rf"\b{code.value}\b", codes), code
    assert "Any other non-zero code is a failure" in codes


def test_version_is_one_line_on_stdout_wherever_it_stands(run):
    for arguments in (("--version",), ("--version", "run")):
        assert run(*arguments) == (0, f"claudebatch {__version__}\n", "")


def test_without_a_command_there_is_help_and_no_hang(run):
    code, out, err = run()
    assert code in (0, 2)
    assert "Commands" in out + err


def test_no_option_takes_the_key():
    names = {
        name for _, command in COMMANDS for parameter in command.params for name in parameter.opts
    }
    assert not [
        name for name in names if "key" in name or "token" in name.replace("max-tokens", "")
    ]
