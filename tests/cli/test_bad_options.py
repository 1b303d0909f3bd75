"""A bad option names itself, what was given, and what to give instead; nothing is read
or sent before.
"""

from __future__ import annotations

import re
import sys

import pytest

from claudebatch.__main__ import main


@pytest.fixture
def refused(monkeypatch, capsys, tmp_path):
    """Runs a command line that must be refused; gives its complaint as one line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-x")
    monkeypatch.setenv("CLAUDEBATCH_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("CLAUDEBATCH_CACHE_DIR", str(tmp_path / "cache"))

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["claudebatch", *arguments])
        with pytest.raises(SystemExit) as leaving:
            main()
        assert leaving.value.code == 2
        told = capsys.readouterr()
        assert told.out == ""
        assert "Traceback" not in told.err
        assert [path.name for path in tmp_path.iterdir()] in ([], ["in.jsonl"])
        return " ".join(told.err.replace("│", " ").split())

    return call


def test_in_colour_only_what_is_wrong_stands_out_and_the_fix_does_not(
    monkeypatch, capsys, tmp_path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-x")
    monkeypatch.setattr(sys, "argv", ["claudebatch", "run", "nowhere.jsonl"])
    with pytest.raises(SystemExit):
        main()
    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith("\x1b[1;31merror") and hint.startswith("\x1b[36m  hint: ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("--budget", "abc"),
            ["--budget", "'abc' is not an amount of dollars above 0", "try --budget 5"],
        ),
        (("--budget", "0"), ["'0' is not an amount", "--budget 2.50"]),
        (("--budget", "-3"), ["--budget", "'-3'"]),
        (("--budget", "nan"), ["'nan' is not an amount"]),
        (("--budget", "1e999999999"), ["--budget", "1E+999999999"]),
        (("--max-tokens", "many"), ["--max-tokens", "'many'"]),
        (("--max-tokens", "0"), ["--max-tokens", "'0' is not a whole number above 0"]),
        (("--max-tokens", "99999999"), ["--max-tokens", "from 1 to 1000000, got 99999999"]),
        (("-j", "0"), ["--concurrency", "'0' is not a whole number above 0"]),
        (("-j", "1000000"), ["--concurrency", "from 1 to 10000, got 1000000"]),
        (("-n", "0"), ["--limit", "'0' is not a whole number above 0", "try 100"]),
        (("-n", "x"), ["--limit", "'x'"]),
        (("--on-bad-row", "maybe"), ["--on-bad-row", "'maybe'", "stop", "skip"]),
        (("--max-outage", "soon"), ["--max-outage", "'soon'", "90s, 15m, 2h or 30d"]),
        (("--max-outage", "-5s"), ["'-5s'"]),
        (("--budgett", "5"), ["--budgett", "--budget"]),
        (("-c", "none.yaml"), ["none.yaml", "No such file", "-c/--config"]),
        (("-o",), ["-o", "requires an argument"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_run_says_which_option_which_value_and_what_to_do(refused, tmp_path, arguments, words):
    (tmp_path / "in.jsonl").write_text('"hi"\n')
    told = refused("run", "in.jsonl", *arguments)
    for word in words:
        assert word in told


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run",), ["INPUT"]),
        (("rum", "in.jsonl"), ["rum", "run"]),
        (("run", "none.jsonl"), ["none.jsonl"]),
        (("run", "none.jsonl", "--simulate"), ["none.jsonl"]),
        (("run", "none.jsonl", "--dry-run"), ["none.jsonl"]),
        (("run", "."), ["directory"]),
        (("run", "-", "--dry-run"), ["standard input", "write the prompts to a file first"]),
        (("spend", "--by", "hour"), ["--by", "'hour'", "run", "model", "day"]),
        (("spend", "--since", "yesterday"), ["--since", "'yesterday'", "2026-11-01"]),
        (("simulate", "--port", "99999"), ["--port", "less than or equal to 65535"]),
        (("cache", "drop"), ["drop"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_so_does_every_other_command(refused, arguments, words):
    told = refused(*arguments)
    for word in words:
        assert word in told


@pytest.mark.parametrize(
    ("given", "offered"),
    [("--buget", "--budget"), ("--modle", "--model"), ("--quite", "--quiet"), ("--xyzzy", None)],
)
def test_of_a_misspelt_option_only_what_was_meant_is_offered(refused, given, offered):
    told = refused("run", "in.jsonl", given, "3")
    found = set(re.findall(r"--[a-z-]+", told.partition("No such option")[2])) - {given}
    assert found == ({offered} if offered else set())
