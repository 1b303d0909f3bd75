"""How near an estimate from earlier answers comes: chance alone, with answers of
log-normal length.

    python benchmarks/estimate.py

Prints the table of docs/estimate.md. Deterministic.
"""

from __future__ import annotations

import math
import random

from claudebatch.estimate.answer_lengths import AnswerLengths

FILES = 400
CASES = (
    (200, 400, 0.5),
    (200, 400, 0.7),
    (1000, 4000, 0.7),
    (1000, 4000, 1.0),
    (10_000, 4000, 1.0),
)
MEDIAN_TOKENS, MAX_TOKENS = 180, 8192


def off(rng: random.Random, rows: int, seen: int, spread: float) -> float:
    """By how much of the actual output the expected one is off, for one file."""

    def length() -> int:
        return max(1, round(rng.lognormvariate(math.log(MEDIAN_TOKENS), spread)))

    expected = AnswerLengths(length() for _ in range(seen)).mean(MAX_TOKENS)
    return abs(expected * rows / sum(min(length(), MAX_TOKENS) for _ in range(rows)) - 1)


def main() -> None:
    rng = random.Random(1)
    print(
        "| rows | learned from | spread | half of the files within | nine in ten within "
        "|\n|---|---|---|---|---|"
    )
    for rows, seen, spread in CASES:
        found = sorted(off(rng, rows, seen, spread) for _ in range(FILES))
        half, most = found[FILES // 2], found[FILES * 9 // 10]
        print(f"| {rows:,} | {seen:,} | {spread} | {half:.1%} | {most:.1%} |")


if __name__ == "__main__":
    main()
