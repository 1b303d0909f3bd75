"""429s, share of the ideal speed and requests a row of whole runs against limits, over
real sockets.

    python benchmarks/pace.py [RPM|ITPM|OTPM] [--burst 1|5|60] [--latency
    lognormal:3,0.6]

Each case starts the built-in simulator with one limit and a bucket of so many seconds
of it, and runs the command itself with its cache off, told the same limit. The ideal is
the bucket's own lower bound: the time that it takes to let through what was sent, full
at first. All nine cases take seven minutes.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from harness import claudebatch
from limits import CASES, Case, drive, line, write_rows

_LIMITS = {
    "RPM": "requests_per_minute",
    "ITPM": "input_tokens_per_minute",
    "OTPM": "output_tokens_per_minute",
}


def measure(case: Case, folder: Path, latency: str | None = None) -> str:
    """The figures of one case."""
    rows, config = folder / "rows.jsonl", folder / "config.yaml"
    write_rows(rows, case)
    pool = f"{{{_LIMITS[case.limit]}: {case.per_minute}}}"
    config.write_text(
        f"limits: {{tier: none, pools: {{haiku-5.5: {pool}}}}}\nmodel: claude-haiku-5-5\n"
    )
    own = {
        "CLAUDEBATCH_CACHE_DIR": str(folder / "cache"),
        "CLAUDEBATCH_STATE_DIR": str(folder / "state"),
    }
    run = claudebatch("run", str(rows), "-c", str(config), "--no-cache", "--yes", "-qq")
    return line(case, drive(case, run, own, latency))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("limit", nargs="?", choices=list(_LIMITS))
    parser.add_argument("--burst", type=int, choices=(1, 5, 60))
    parser.add_argument("--latency", help="of answers; see docs/simulator.md")
    wanted = parser.parse_args()
    for case in CASES:
        if wanted.limit in (None, case.limit) and wanted.burst in (None, case.burst_s):
            with tempfile.TemporaryDirectory() as name:
                print(measure(case, Path(name), wanted.latency), flush=True)


if __name__ == "__main__":
    main()
