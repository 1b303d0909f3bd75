"""The fuzz drill: `python -m tests.drills.fuzz [--seconds N] [--target NAME] [--seed
S]`.

Every case is made from its own number, so that one that fails can be looked at again:
`--seed S --cases 1`. The bytes of HTTP answers are fuzzed over real sockets in
tests/clients/test_wire_fuzz.py (CLAUDEBATCH_FUZZ_CASES=100000).
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

from tests.drills.fuzz_targets import TARGETS


def drill(name: str, *, seed: int, seconds: float = 1e9, cases: int = 10**9) -> int:
    """Cases of target *name* from number *seed* on; returns how many ran. Raises what
    broke, with its number.
    """
    ran = 0
    with (
        tempfile.TemporaryDirectory(prefix="claudebatch-fuzz-") as folder,
        TARGETS[name](Path(folder)) as target,
    ):
        end = time.monotonic() + seconds
        while ran < cases and time.monotonic() < end:
            number = seed + ran
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ResourceWarning)
                    target(random.Random(number))
            except BaseException as error:
                error.add_note(f"fuzz target {name}, case {number}")
                raise
            ran += 1
    return ran


def main() -> int:
    """Run the drill; 0 when nothing broke."""
    parser = argparse.ArgumentParser(prog="python -m tests.drills.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="for all targets together")
    parser.add_argument("--cases", type=int, default=10**9, help="at most so many of each")
    parser.add_argument("--target", choices=[*TARGETS], action="append")
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    names = wanted.target or [*TARGETS]
    broken = 0
    for name in names:
        try:
            ran = drill(
                name, seed=wanted.seed, seconds=wanted.seconds / len(names), cases=wanted.cases
            )
            print(f"{name:10} {ran:>9,} cases, nothing broke")
        except KeyboardInterrupt:
            raise
        except BaseException:
            broken += 1
            traceback.print_exc()
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
