"""The picture of the progress display in the README: python -m tests.docs.picture

Drawn by the display itself, fed with the events of a made-up run at fixed moments, so
that the picture cannot show what the display does not.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text

from claudebatch.core.domain import PICO_PER_USD, Usage
from claudebatch.core.events import (
    AttemptFinished,
    AttemptStarted,
    Event,
    LimitsSeen,
    RowFinished,
    RunStarted,
    Waiting,
)
from claudebatch.core.stats.run_stats import RunStats
from claudebatch.ui.live.frame import live_frame

PICTURE = Path(__file__).parents[2] / "docs/progress.svg"
COMMAND = "claudebatch run reviews.jsonl -m haiku --budget 5"
WIDTH = 80
_ROWS = 5000
_AT_S = 48.0
_PER_S = 40
_COST = PICO_PER_USD * 6 // 10_000
# As rich draws a terminal, without the fonts that it would fetch from other hosts.
_FORMAT = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" \
role="img" aria-label="A run in a terminal">
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px;
}}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
<rect fill="#292929" width="100%" height="100%" rx="8" />
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def _events() -> Iterator[tuple[float, Event]]:
    yield 0.0, RunStarted("r", _ROWS, 0, 0, 5 * PICO_PER_USD, "reviews.results.jsonl", False)
    yield 0.5, LimitsSeen("haiku-5.5", 2400.0, 2_000_000.0, 400_000.0)
    for number in range(int((_AT_S - 1) * _PER_S)):
        at = 1 + number / _PER_S
        if number % 25 == 7:
            yield at, RowFinished(f"c{number}", "m", "cache", True, None, 0, _COST)
            continue
        yield at, AttemptStarted("claude-haiku-5-5", "haiku-5.5")
        usage = Usage(input_tokens=350, output_tokens=60)
        yield at, AttemptFinished("claude-haiku-5-5", "haiku-5.5", usage, _COST, None, False)
        error = "invalid_request_error" if number == 911 else None
        yield at, RowFinished(f"r{number}", "m", "api", error is None, error, 900, 0)
    for _ in range(38):
        yield _AT_S, AttemptStarted("claude-haiku-5-5", "haiku-5.5")
    yield _AT_S, Waiting("haiku-5.5", "requests per minute", 2.0)


def drawn() -> str:
    """The picture, as SVG."""
    clock = [0.0]
    stats = RunStats(lambda: clock[0])
    for at, event in _events():
        clock[0] = at
        stats(event)
    console = Console(
        file=io.StringIO(), record=True, width=WIDTH, force_terminal=True, color_system="truecolor"
    )
    console.print(Text(f"$ {COMMAND}"), highlight=False)
    for row in live_frame(stats.snapshot(_AT_S), {}, width=WIDTH):
        console.print(Text.assemble(*((span.text, span.style) for span in row)), highlight=False)
    svg = console.export_svg(code_format=_FORMAT, unique_id="progress")
    return re.sub(r"[ \t]+\n", "\n", svg)


if __name__ == "__main__":
    PICTURE.write_text(drawn())
