"""A crash drill on the user's own disk: a real run against the simulator is killed
without warning and resumed.

Three things must hold, and the simulator is the judge of the last two: every row has
its result, in order, once; a result that was in the file before a death is in it after,
unchanged; and no row whose result was there is asked again, so that at most what was in
flight at a death is sent twice.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from claudebatch.core.errors import ExitCode
from claudebatch.core.reports.finding import Finding

ROWS = 200
IN_FLIGHT = 8
# Of the simulated answers: 200 rows, 8 at a time, are a second of work, enough to die
# in.
LATENCY = "uniform:0.02,0.06"
# Shares of the rows that were asked for at each death: once early, once after a resume.
_DEATHS_AT = (0.2, 0.6)
# A slow disk needs seconds; a run that hangs must not hang the drill.
_PATIENCE_S = 60.0
_LOOK_S = 0.005


class DrillFailed(Exception):
    """The drill found that something does not hold."""


@dataclass(slots=True)
class DrillRequests:
    """The requests that reached the simulator: evidence that the run cannot change."""

    prompts: Counter[str] = field(default_factory=Counter)

    def __call__(self, body: dict[str, Any]) -> None:
        """Note one request."""
        self.prompts[str(body["messages"][0]["content"])] += 1


async def drill(
    place: Path,
    url: str,
    asked: DrillRequests,
    env: Mapping[str, str],
    sleep: Callable[[float], Awaitable[None]],
) -> Finding:
    """Run, kill, resume in a folder of its own under *place*, thrown away after; *url*
    is the simulator's.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix="claudebatch-drill-", dir=place))
    except OSError as error:
        return Finding(
            "drill",
            "failure",
            f"{place}: {error.strerror}",
            fix="name another folder",
            exit_code=ExitCode.LOCAL_IO,
        )
    try:
        deaths, again = await _Drill(folder, url, asked, env, sleep).go()
    except DrillFailed as error:
        return Finding(
            "drill",
            "failure",
            str(error),
            fix="do not trust this disk with a long run before you know why; it helps us to know "
            "its file system",
            exit_code=ExitCode.LOCAL_IO,
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Finding(
        "drill",
        "ok",
        f"{deaths} deaths in the middle of {ROWS} rows: every answer kept, none asked for again;"
        f" {again} of at most {deaths * IN_FLIGHT} requests in flight were sent twice",
    )


class _Drill:
    def __init__(
        self,
        folder: Path,
        url: str,
        asked: DrillRequests,
        env: Mapping[str, str],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._folder = folder
        self._asked = asked
        self._sleep = sleep
        # Mutable: how often the rows whose results were written at the last death had
        # been asked for.
        self._settled: dict[str, int] = {}
        self._output = folder / "out.jsonl"
        own = {
            name: str(folder / name.lower())
            for name in ("CLAUDEBATCH_STATE_DIR", "CLAUDEBATCH_CACHE_DIR")
        }
        settings = folder / "config.yaml"
        settings.write_text("limits: {tier: none}\n")
        # The user's own key, address and settings must not take part.
        hidden = ("ANTHROPIC_", "CLAUDEBATCH_")
        self._env = {
            name: value for name, value in env.items() if not name.startswith(hidden)
        } | own
        self._env |= {
            "ANTHROPIC_BASE_URL": url,
            "ANTHROPIC_API_KEY": "drill",
            "CLAUDEBATCH_CONFIG": str(settings),
        }
        (folder / "in.jsonl").write_text(
            "".join(json.dumps({"id": f"{n}", "prompt": f"{n}"}) + "\n" for n in range(ROWS))
        )

    async def go(self) -> tuple[int, int]:
        """(deaths, requests that were sent twice); raises `DrillFailed`."""
        kept: list[str] = []
        deaths = 0
        for share in _DEATHS_AT:
            deaths += await self._die_after(share)
            kept = self._still_there(kept)
            answered = {json.loads(line)["id"] for line in kept}
            # Judged at the end: whatever is asked for from now on, these must not be.
            self._settled = {row: self._asked.prompts[row] for row in answered}
        code = await self._finish()
        if code != 0:
            raise DrillFailed(f"the run that was taken up again ended with exit code {code}")
        self._check(self._still_there(kept), deaths)
        return deaths, self._asked.prompts.total() - ROWS

    async def _die_after(self, share: float) -> int:
        process = await self._start()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while len(self._asked.prompts) < ROWS * share and process.returncode is None:
                    await self._sleep(_LOOK_S)
        except TimeoutError as error:
            raise DrillFailed(f"the run did nothing for {_PATIENCE_S:.0f} s") from error
        finally:
            if process.returncode is None:
                # SIGKILL, because every other signal lets the run put things in order.
                process.send_signal(signal.SIGKILL)
            await process.wait()
        if process.returncode not in (0, -signal.SIGKILL):
            raise DrillFailed(f"a run ended by itself with exit code {process.returncode}")
        return int(process.returncode == -signal.SIGKILL)

    async def _finish(self) -> int:
        process = await self._start()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await process.wait()
        except TimeoutError as error:
            process.kill()
            await process.wait()
            raise DrillFailed(f"the run was not done within {_PATIENCE_S:.0f} s") from error

    async def _start(self) -> asyncio.subprocess.Process:
        command = (
            "-m",
            "claudebatch",
            "run",
            "in.jsonl",
            "-o",
            "out.jsonl",
            "-qq",
            "--ordered",
            "-j",
            str(IN_FLIGHT),
        )
        nothing = asyncio.subprocess.DEVNULL
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            cwd=self._folder,
            env=self._env,
            stdin=nothing,
            stdout=nothing,
            stderr=nothing,
        )

    def _still_there(self, kept: list[str]) -> list[str]:
        """The whole lines of the output; raises `DrillFailed` when one of *kept* is
        gone or changed.
        """
        text = self._output.read_text() if self._output.exists() else ""
        lines = text[: text.rfind("\n") + 1].splitlines()
        lost = set(kept) - set(lines)
        if lost:
            raise DrillFailed(f"{len(lost)} results that were written are gone or changed")
        return lines

    def _check(self, lines: list[str], deaths: int) -> None:
        if [json.loads(line)["id"] for line in lines] != [str(row) for row in range(ROWS)]:
            raise DrillFailed(f"{len(lines)} results for {ROWS} rows, or not in order")
        twice = [row for row, count in self._settled.items() if self._asked.prompts[row] != count]
        if twice:
            raise DrillFailed(
                f"{len(twice)} rows were asked for again although their results were written"
            )
        again = self._asked.prompts.total() - ROWS
        if again > deaths * IN_FLIGHT:
            raise DrillFailed(
                f"{again} requests were sent twice, and at most {deaths * IN_FLIGHT} were in flight"
            )
