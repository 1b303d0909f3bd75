"""What the pace benchmarks share: the cases, a limited server, and what a client made
of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

IDEAL_S = 40
"""So long the limits alone hold up each case."""
_PATIENCE_S = 240
_WORDS = "What is the shortest way from here to there, and why is it never the fastest one? "


@dataclass(frozen=True)
class Case:
    """One limit, one size of the API's bucket, and rows that the limit holds up for
    `IDEAL_S`.
    """

    limit: str
    per_minute: int
    burst_s: int
    prompt_bytes: int
    answer_tokens: int
    units_a_row: float
    """What a row takes of the limit, roughly."""

    @property
    def name(self) -> str:
        """As it is printed and chosen."""
        return f"{self.limit} {self.per_minute:,}, {self.burst_s} s"

    @property
    def rows(self) -> int:
        """How many are sent."""
        return round(self.per_minute / 60 * (IDEAL_S + self.burst_s) / self.units_a_row)

    def ideal_s(self, seen: Seen) -> float:
        """The least seconds in which the server's bucket, full at first, lets through
        what was sent.
        """
        units = {"RPM": seen.answered, "ITPM": seen.input_tokens, "OTPM": seen.output_tokens}[
            self.limit
        ]
        return units / (self.per_minute / 60) - self.burst_s


@dataclass(frozen=True)
class Seen:
    """What the server saw of a run."""

    requests: int
    answered: int
    limited: int
    input_tokens: int
    output_tokens: float
    """Produced by the time of the last request."""
    took_s: float
    """From the first request to the last."""
    start_s: float
    """From the start of the command to its first request."""
    rest_s: float
    """From its first request to its end."""
    exit_code: int = 0


CASES = [
    Case(
        limit=limit,
        per_minute=per_minute,
        burst_s=burst_s,
        prompt_bytes=prompt_bytes,
        answer_tokens=answer_tokens,
        units_a_row=units,
    )
    for limit, per_minute, prompt_bytes, answer_tokens, units in (
        ("RPM", 6000, 60, 60, 1),
        ("ITPM", 1_200_000, 2600, 60, 1000),
        ("OTPM", 240_000, 60, 200, 200),
    )
    for burst_s in (1, 5, 60)
]


def write_rows(path: Path, case: Case) -> None:
    """The prompts of *case*, all different."""
    text = (_WORDS * (case.prompt_bytes // len(_WORDS) + 1))[: case.prompt_bytes]
    with path.open("w") as file:
        for row in range(case.rows):
            prompt = f"[[simulate: tokens {case.answer_tokens}]] {row:06} {text}"
            file.write(
                json.dumps({"id": f"row-{row}", "prompt": prompt, "max_tokens": 1000}) + "\n"
            )


def drive(case: Case, command: list[str], env: dict[str, str], latency: str | None = None) -> Seen:
    """Run *command* against a new server with the limits of *case*; its URL is in
    ANTHROPIC_BASE_URL.
    """
    limits = {case.limit.lower(): case.per_minute, "burst_seconds": case.burst_s}
    return drive_against(limits, command, env, latency)


def drive_against(
    limits: Mapping[str, float], command: list[str], env: dict[str, str], latency: str | None = None
) -> Seen:
    """The same with *limits* as the simulator names them."""
    server = [
        sys.executable,
        str(Path(__file__).with_name("limits_server.py")),
        json.dumps(limits),
        *([latency] if latency else []),
    ]
    with subprocess.Popen(server, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as api:
        assert api.stdin is not None and api.stdout is not None
        url = api.stdout.readline().strip()
        environment = {
            **os.environ,
            "ANTHROPIC_BASE_URL": url,
            "ANTHROPIC_API_KEY": "benchmark",
            **env,
        }
        began_at = time.monotonic()
        exit_code = _run(command, environment)
        ended_at = time.monotonic()
        api.stdin.close()
        seen = json.loads(api.stdout.read())
    return Seen(
        requests=seen["requests"],
        answered=seen["by_status"].get("200", 0),
        limited=seen["rate_limited"],
        input_tokens=seen["tokens"]["input_tokens"],
        output_tokens=seen["produced"],
        took_s=seen["took_s"],
        start_s=seen["first_at"] - began_at,
        rest_s=ended_at - seen["first_at"],
        exit_code=exit_code,
    )


def line(case: Case, seen: Seen) -> str:
    """The figures of one run."""
    share = case.ideal_s(seen) / seen.took_s if seen.took_s else 0.0
    return (
        f"{case.name}: {seen.limited} 429s · {share:.1%} of the ideal · "
        f"{seen.requests / case.rows:.3f} requests a row"
        f" · {seen.answered} of {case.rows} rows answered · {seen.took_s:.1f} s"
        + (f" · exit code {seen.exit_code}" if seen.exit_code else "")
    )


def _run(command: list[str], env: dict[str, str]) -> int:
    """The command's exit code; one that never ends is ended."""
    client = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    ends = time.monotonic() + _PATIENCE_S
    try:
        return client.wait(timeout=max(0.0, ends - time.monotonic()))
    except subprocess.TimeoutExpired:
        client.kill()
        return client.wait()
