"""Plays scenarios and prints what they come to, beside the range where there is one.

    python -m tests.scenarios [--all] [WORD ...]

Only cases whose names hold every WORD; `--all`: those of `more` too, which the suite leaves out for the time they take.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from tests.scenarios.figures import FIGURES
from tests.scenarios.play import play
from tests.scenarios.scenario import Case, cases

_HERE = Path(__file__).parent
_ALWAYS = ("refused", "share", "finished")


def main() -> None:
    """Play and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--all", action="store_true")
    wanted = parser.parse_args()
    found = [case for path in sorted(_HERE.glob("*.yaml")) for case in cases(path, more=wanted.all)]
    for case in found:
        if all(word in case.name for word in wanted.words):
            print(_line(case), flush=True)


def _line(case: Case) -> str:
    began = time.perf_counter()
    played = play(case)
    cells = []
    for name in dict.fromkeys([*_ALWAYS, *case.expect]):
        value, wanted = FIGURES[name](played), case.expect.get(name)
        least, most = wanted or (None, None)
        wrong = (least is not None and value < least) or (most is not None and value > most)
        cells.append(f"{name} {value:.4g}" + (f" (NOT IN {wanted})" if wrong else ""))
    return f"{case.name}: {', '.join(cells)} · {played.rows} rows, {time.perf_counter() - began:.1f} s"


if __name__ == "__main__":
    main()
