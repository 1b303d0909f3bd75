"""What `render` sets in motion: the first rows, read and built as a run does it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from claudebatch.cli.wiring.configured import configured
from claudebatch.config import environment
from claudebatch.core.domain import Call
from claudebatch.core.errors import ClaudebatchError, ExitCode
from claudebatch.core.jsonl import decode
from claudebatch.estimate.scratch_index import EarlierResults, planned
from claudebatch.setup.input_files import PreparedInputs
from claudebatch.setup.run_options import RunOptions
from claudebatch.setup.run_setup import RunSetup
from claudebatch.setup.stack import Keys
from claudebatch.ui.error_text import left_out, render_notice
from claudebatch.ui.machine.json_events import json_line
from claudebatch.ui.terminal import Terminal

_BASE64 = re.compile(r'"data": "([A-Za-z0-9+/]{400,}=*)"')
# Without a choice of rows: enough to see whether the template is right.
_USUAL = 3
# In the order in which people read a request; canonical bytes are sorted.
_FIRST = ("model", "max_tokens", "system", "messages", "role", "type")


def render_requests(
    options: RunOptions, flags: Mapping[str, Any], *, config: Path | None, as_lines: bool
) -> int:
    """Print the requests of the rows that *options* choose; returns the exit code.
    Raises `ClaudebatchError` as the run would.
    """
    if "-" in options.inputs:
        raise ClaudebatchError(
            "E038",
            "render would use up standard input",
            fix="write the rows to a file first",
        )
    if options.limit is None and not options.selection:
        options = replace(options, limit=_USUAL)
    at = datetime.now(UTC)  # noqa: TID251  # a command is where time comes in
    _, run_setup = configured(options, flags, config, at=at)
    terminal = Terminal(sys.stdout, environment(), must_write=True)
    for request in _requests(options, run_setup):
        if as_lines:
            sys.stdout.write(json_line(request))
        else:
            terminal.say_all(_laid_out(request))
    return ExitCode.OK


def _requests(options: RunOptions, run_setup: RunSetup) -> Iterator[dict[str, Any]]:
    nothing = EarlierResults(
        journal=None, key=Keys("").of, look_up=lambda keys: [None] * len(keys), retry_failed=False
    )
    options.check_inputs()
    with TemporaryDirectory(prefix="claudebatch-") as scratch:
        prepared = PreparedInputs(options, Path(scratch))
        files = prepared.files()
        selection = options.selection
        with planned(run_setup, files, nothing, limit=options.limit, selection=selection) as plan:
            stderr = Terminal(sys.stderr, environment())
            stderr.tell(map(left_out, plan.left_out))
            rows, _, _ = plan.route_totals()
            notices = plan.notices if rows else [*plan.notices, options.no_rows]
            stderr.tell(map(render_notice, [*prepared.notices, *notices]))
            yield from map(_shown, plan.calls(plan.positions()))


def _shown(call: Call) -> dict[str, Any]:
    prompt = call.prompt
    return {
        "id": prompt.id,
        "file": prompt.file,
        "line": prompt.line,
        "rule": call.route.rule,
        **({"betas": list(prompt.betas)} if prompt.betas else {}),
        "request": _in_order(decode(call.body)),
    }


def _laid_out(request: dict[str, Any]) -> list[str]:
    """The lines of *request* as people read it: files in base64 by their length."""
    text = json.dumps(request, ensure_ascii=False, indent=2)
    return _BASE64.sub(
        lambda found: f'"data": "… {len(found[1]):,} characters …"', text
    ).splitlines()


def _in_order(value: Any) -> Any:
    """*value* with the members of its objects as people write them."""
    if isinstance(value, list):
        return [_in_order(item) for item in value]
    if not isinstance(value, dict):
        return value
    names = [*(name for name in _FIRST if name in value), *sorted(value.keys() - set(_FIRST))]
    return {name: _in_order(value[name]) for name in names}
