"""Several processes that share one account over one Redis:
`python -m benchmarks.shared`.

Prints, for 1, 4 and 16 processes against the simulator: 429s, the share of the ideal
pace that was reached, the smallest share of a process, round trips a request and their
milliseconds, and CPU microseconds a request (start-up included); and for one process
that shares nothing the same. Needs `redis-server`; takes some minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

RPM = 3000
# Limits of tokens that are stated and out of reach: unstated ones would be those of the
# lowest tier, and bind.
AMPLE = ("--itpm", "100000000", "--otpm", "100000000")
BEHAVIOUR = (*AMPLE, "--burst-seconds", "1", "--latency", "fixed:0.3")
SECONDS = 30


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 4, 16])
    wanted = parser.parse_args().processes
    for processes, shared in [(1, False), *((number, True) for number in wanted)]:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measured(Path(folder), processes, shared=shared)), flush=True)


def measured(folder: Path, processes: int, *, shared: bool) -> dict[str, Any]:
    """The figures of so many processes."""
    ports = [free_port() for _ in range(2)]
    ours = [sys.executable, "-m", "claudebatch"]
    servers = [
        subprocess.Popen(
            ["redis-server", "--port", str(ports[0]), "--save", "", "--dir", str(folder)],
            stdout=subprocess.DEVNULL,
        ),
        subprocess.Popen(
            [*ours, "simulate", "--port", str(ports[1]), "--rpm", str(RPM), *BEHAVIOUR],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ),
    ]
    try:
        for port in ports:
            wait_for(port)
        return race(folder, processes, ports, ours, shared=shared)
    finally:
        for server in servers:
            server.kill()
            server.wait()


def race(
    folder: Path, processes: int, ports: list[int], ours: list[str], *, shared: bool
) -> dict[str, Any]:
    """Run all at once, and read their journals."""
    began = cpu_s()
    rows = RPM * SECONDS // 60 // processes
    api = f"http://127.0.0.1:{ports[1]}"
    (folder / "claudebatch.yaml").write_text("budget: {day: 1000}\n")
    runs = []
    for number in range(processes):
        home = folder / str(number)
        home.mkdir()
        lines = (json.dumps({"prompt": f"{number} {row}"}) for row in range(rows))
        (home / "in.jsonl").write_text("\n".join(lines) + "\n")
        environment = os.environ | {
            "ANTHROPIC_API_KEY": "simulated",
            "ANTHROPIC_BASE_URL": api,
            "CLAUDEBATCH_SHARED": f"redis://127.0.0.1:{ports[0]}" if shared else "",
            "CLAUDEBATCH_STATE_DIR": str(home / "state"),
            "CLAUDEBATCH_CACHE_DIR": str(home / "cache"),
        }
        command = [*ours, "run", "in.jsonl", "-o", "out.jsonl", "--yes", "--json"]
        config = ["-c", str(folder / "claudebatch.yaml"), "-m", "claude-haiku-5-5"]
        runs.append(
            subprocess.Popen(
                [*command, *config],
                cwd=home,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        )
    done = []
    for run in runs:
        out, said = run.communicate()
        if run.returncode:
            raise SystemExit(said.decode())
        done.append(json.loads(out.splitlines()[-1]))
    with urllib.request.urlopen(f"{api}/__stats") as answer:
        statuses = json.load(answer)["by_status"]
    sent = [moments(folder / str(number)) for number in range(processes)]
    requests = sum(summary["requests"] for summary in done)
    return {
        "processes": processes,
        "shared": shared,
        "429s": statuses.get("429", 0),
        **pace(sent),
        **trips([summary["shared"] for summary in done], requests),
        "CPU us a request": round((cpu_s() - began) * 1e6 / requests),
    }


def cpu_s() -> float:
    """Seconds of CPU of all processes that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def trips(shared: list[dict[str, float] | None], requests: int) -> dict[str, float]:
    """What requests took at the server."""
    found = [each for each in shared if each is not None]
    number = sum(each["round_trips"] for each in found)
    if not number:
        return {}
    return {
        "round trips a request": round(number / requests, 2),
        "ms a round trip": round(sum(each["server_s"] for each in found) * 1000 / number, 2),
    }


def moments(home: Path) -> list[float]:
    """When the attempts of a run left, in seconds."""
    journal = home / "out.jsonl.claudebatch" / "journal.sqlite"
    with closing(sqlite3.connect(journal)) as file:
        return [moment / 1000 for (moment,) in file.execute("SELECT sent_ms FROM attempts")]


def pace(sent: list[list[float]]) -> dict[str, float]:
    """Of the time in which all of them had something to send."""
    first, last = max(map(min, sent)) + 3, min(map(max, sent))
    counts = [sum(first <= moment < last for moment in one) for one in sent]
    ideal = RPM / 60 * (last - first)
    return {
        "of the ideal": round(sum(counts) / ideal, 3),
        "smallest share": round(min(counts) * len(sent) / max(1, sum(counts)), 3),
    }


def free_port() -> int:
    """One that nobody listens at."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(port: int) -> None:
    """Until somebody listens."""
    for _ in range(300):
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit(f"nobody listens at {port}")


if __name__ == "__main__":
    main()
