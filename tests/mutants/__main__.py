"""Changes each number of a part to 0.6 and to 1.6 times its value, and prints which
test notices it.

    python -m tests.mutants rate_limit [NAME ...] [--jobs N]

The test that the part's page names runs first; where that does not notice, all fast
tests of the part do. A number that no test notices is a survivor, and the exit code 1.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.numbers import PAGES, PARTS, ROOT, TESTS, Number, numbers
from tests.mutants.table import named_tests, rows

_PATIENCE_S = 600
"""A mutant that runs longer than this has made something wait for ever: noticed."""
_FAILED = re.compile(r"^FAILED \S+?::(\w+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one mutant."""

    number: Number
    value: float
    noticed_by: str | None
    mapped: bool
    """Whether the test that the page names noticed it."""


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=sorted(PARTS))
    parser.add_argument("names", nargs="*")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    wanted = parser.parse_args()
    began = time.perf_counter()
    found = [
        each
        for each in numbers(PARTS[wanted.part])
        if not wanted.names or each.name in wanted.names
    ]
    held = _held(wanted.part)
    _must_pass_unchanged([held[each.name] for each in found if each.name in held])
    mutants = [(each, value) for each in found for value in each.mutants()]
    with ThreadPoolExecutor(wanted.jobs) as pool:
        verdicts = []
        for verdict in pool.map(
            lambda one: _judge(*one, held.get(one[0].name), TESTS[wanted.part]), mutants
        ):
            print(_line(verdict), flush=True)
            verdicts.append(verdict)
    survivors = [verdict for verdict in verdicts if verdict.noticed_by is None]
    print(
        f"{len(found)} numbers, {len(verdicts)} mutants, {len(survivors)} survivors,"
        f" {time.perf_counter() - began:.0f} s"
    )
    return bool(survivors)


def _held(part: str) -> dict[str, str]:
    """By number, the test that the page names, as pytest calls it."""
    files = named_tests(TESTS[part])
    return {
        row.name: f"{files[row.test][0].relative_to(ROOT)}::{row.test}" for row in rows(PAGES[part])
    }


def _must_pass_unchanged(tests: list[str]) -> None:
    code, output = _pytest([*dict.fromkeys(tests)], {})
    if code:
        sys.exit(f"the tests fail without any change:\n{output}")


def _judge(number: Number, value: float, test: str | None, folder: Path) -> Verdict:
    env = {"MUTANT": f"{number.module}:{number.name}={value!r}"}
    for tests in ([test] if test else [], [str(folder)]):
        code, output = _pytest(tests, env) if tests else (0, "")
        if code:
            failed = _FAILED.search(output)
            # A mutant that could not be made would look like one that was noticed.
            if code != 1 or not failed:
                sys.exit(f"{env['MUTANT']} cannot be tried:\n{output}")
            return Verdict(number, value, failed[1], mapped=tests == [test])
    return Verdict(number, value, None, mapped=False)


def _pytest(tests: list[str], env: dict[str, str]) -> tuple[int, str]:
    # Each run starts anew, so that nothing has seen the number before it was changed;
    # half of the time of a start is plugins that these tests do not need.
    plugins = ["-p", "pytest_asyncio.plugin", "-p", "tests.mutants.patch"]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--tb=no", *plugins]
    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    try:
        done = subprocess.run(
            [*command, *tests], cwd=ROOT, env={**os.environ, **alone, **env}, timeout=_PATIENCE_S,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return 1, f"FAILED {tests[0]}::it_does_not_end"
    return done.returncode, done.stdout + done.stderr


def _line(verdict: Verdict) -> str:
    number = verdict.number
    told = verdict.noticed_by or "SURVIVES"
    more = (
        "" if verdict.mapped or not verdict.noticed_by else "   (not the one that the page names)"
    )
    return f"{number.name:<22} {number.value:>8g} -> {verdict.value:<8g} {told}{more}"


if __name__ == "__main__":
    sys.exit(main())
