"""Plays scenarios and prints what they come to, beside the range where there is one.

    python -m tests.scenarios [--all] [--seeds N] [WORD ...]

Only cases whose names hold every WORD; `--all`: those of `more` too, which the suite
leaves out for the time they take. `--seeds`: each case so many times, with other rows
and other times; figures are then the least and the most.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from tests.scenarios.figures import FIGURES
from tests.scenarios.play import play
from tests.scenarios.scenario import Case, Range, cases

_HERE = Path(__file__).parent
_ALWAYS = ("refused", "share", "finished")


def main() -> None:
    """Play and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--seeds", type=int, default=1)
    wanted = parser.parse_args()
    found = [case for path in sorted(_HERE.glob("*.yaml")) for case in cases(path, more=wanted.all)]
    for case in found:
        if all(word in case.name for word in wanted.words):
            print(_line(case, wanted.seeds), flush=True)


def _line(case: Case, seeds: int) -> str:
    began = time.perf_counter()
    names = dict.fromkeys([*_ALWAYS, *case.expect])
    runs = [play(case, seed) for seed in range(seeds)]
    cells = [
        _cell(name, [FIGURES[name](played) for played in runs], case.expect.get(name))
        for name in names
    ]
    took_s = (time.perf_counter() - began) / seeds
    return f"{case.name}: {', '.join(cells)} · {runs[0].rows} rows, {took_s:.1f} s"


def _cell(name: str, values: list[float], wanted: Range | None) -> str:
    least, most = wanted or (None, None)
    wrong = sum(
        (least is not None and value < least) or (most is not None and value > most)
        for value in values
    )
    told = (
        f"{min(values):.4g}"
        if min(values) == max(values)
        else f"{min(values):.4g}..{max(values):.4g}"
    )
    if name == "refused" and len(values) > 1:
        told += f" (sum {sum(values):.0f})"
    return f"{name} {told}" + (f" (NOT IN {wanted}: {wrong} of {len(values)})" if wrong else "")


if __name__ == "__main__":
    main()
