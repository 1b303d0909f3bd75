"""How fast rows of tables are read, made into prompts and checked, beside JSON lines
with the same prompts, and how much memory a million of them take.

    python benchmarks/inputs.py [--small 100000] [--large 1000000]

Rows are checked by runs whose last row is bad, so nothing is sent. Rows a second are
marginal: the larger run less the smaller, in CPU time. `run` is a whole run over CSV
whose answers are in the response cache.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from harness import Used, claudebatch, lean_server, run_and_measure

from claudebatch.core.jsonl import encode_in_order

DISTINCT = 1000
ASK = "Praise or complaint? {review}"
REVIEW = (
    "I bought this lamp for my desk, and it does what it says: bright, quiet, and easy to switch "
    "on. Would buy again."
)
HEADING = ("id", "product", "lang", "review")


def rows(count: int) -> Iterator[tuple[str, ...]]:
    """Rows with different ids and a thousand different reviews."""
    for number in range(count):
        yield f"row-{number}", "Lamp", "en", f"{number % DISTINCT}: {REVIEW}"


def write_lines(path: Path, count: int, *, bad: bool) -> None:
    """JSON lines whose prompts are those that the template makes."""
    with path.open("wb") as file:
        for id_, _, _, review in rows(count):
            prompt = {"id": id_, "prompt": ASK.format(review=review)}
            file.write(encode_in_order(prompt) + b"\n")
        if bad:
            file.write(b'{"promt": "x"}\n')


def write_columns(path: Path, count: int, *, bad: bool) -> None:
    """JSON lines with the columns of the table."""
    with path.open("wb") as file:
        for row in rows(count):
            file.write(encode_in_order(dict(zip(HEADING, row, strict=True))) + b"\n")
        if bad:
            file.write(b'{"promt": "x"}\n')


def write_csv(path: Path, count: int, *, bad: bool) -> None:
    """CSV; reviews hold commas, so all of them are quoted."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADING)
        writer.writerows(rows(count))
        if bad:
            writer.writerow(["x"])


def write_parquet(path: Path, count: int, *, bad: bool) -> None:
    """Parquet in one row group, as pandas writes it; the last review is null."""
    import pyarrow
    from pyarrow import parquet

    columns = list(zip(*rows(count), strict=True))
    if bad:
        columns = [(*column, None) for column in columns]
    parquet.write_table(pyarrow.table(dict(zip(HEADING, columns, strict=True))), path)


FORMATS: dict[str, tuple[Callable[..., None], str, list[str]]] = {
    "JSON lines": (write_lines, "jsonl", []),
    "JSON lines, columns": (write_columns, "jsonl", ["-t", ASK]),
    "CSV": (write_csv, "csv", ["-t", ASK]),
    "Parquet": (write_parquet, "parquet", ["-t", "{review}"]),
}


def refused(command: list[str], env: dict[str, str]) -> Used:
    """What a run takes that ends with 2, because of its last row."""
    process = subprocess.Popen(
        command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != 2:
        raise SystemExit(f"{command} ended with {status}")
    return Used(used.ru_utime + used.ru_stime, 0.0, used.ru_maxrss / 1024)


def checked(folder: Path, env: dict[str, str], name: str, counts: tuple[int, int]) -> None:
    """Measure one format and print."""
    write, suffix, options = FORMATS[name]
    small, large = (_check(folder, env, write, f"{suffix}", options, count) for count in counts)
    rate = (counts[1] - counts[0]) / (large.cpu_s - small.cpu_s)
    print(
        f"{name:>20}: {rate:9,.0f} rows/s of CPU · {large.peak_mb:.0f} MB, "
        f"x {large.peak_mb / small.peak_mb:.2f}",
        flush=True,
    )


def _check(
    folder: Path,
    env: dict[str, str],
    write: Callable[..., None],
    suffix: str,
    options: list[str],
    count: int,
) -> Used:
    path = folder / f"check-{count}.{suffix}"
    # In a process of its own: what writing takes is not ours.
    pid = os.fork()
    if pid == 0:
        write(path, count, bad=True)
        os._exit(0)
    os.waitpid(pid, 0)
    command = claudebatch("run", str(path), *options, "-o", str(folder / "out.jsonl"), "-q")
    used = refused([*command, "--simulate", "--fresh"], env)
    path.unlink()
    return used


def whole(folder: Path, env: dict[str, str], counts: tuple[int, int]) -> None:
    """Measure whole runs over CSV and print."""
    found = []
    for count in (DISTINCT, *counts):
        path = folder / f"run-{count}.csv"
        write_csv(path, count, bad=False)
        found.append(run_and_measure(claudebatch("run", str(path), "-t", ASK, "--yes", "-q"), env))
        path.unlink()
    _, small, large = found
    rate = (counts[1] - counts[0]) / (large.cpu_s - small.cpu_s)
    print(
        f"{'run over CSV':>20}: {rate:9,.0f} rows/s of CPU · {large.peak_mb:.0f} MB, "
        f"x {large.peak_mb / small.peak_mb:.2f}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", type=int, default=100_000)
    parser.add_argument("--large", type=int, default=1_000_000)
    wanted = parser.parse_args()
    counts = wanted.small, wanted.large
    with tempfile.TemporaryDirectory() as name, lean_server(Path(name)) as env:
        folder = Path(name)
        config = folder / "config.yaml"
        config.write_text("limits: {tier: none}\n")
        env["CLAUDEBATCH_CONFIG"] = str(config)
        for format_ in FORMATS:
            checked(folder, env, format_, counts)
        whole(folder, env, counts)


if __name__ == "__main__":
    main()
