"""The requests that `cache why` asks about: rows of an input, built as a run builds
them, or a row of a run that is over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from claudebatch.cli.dates import unix_now
from claudebatch.cli.wiring.api_target import key_scope
from claudebatch.cli.wiring.configured import configured
from claudebatch.clients.base_url import check_base_url
from claudebatch.config import environment
from claudebatch.core.domain import Call
from claudebatch.core.errors import ClaudebatchError
from claudebatch.core.jsonl import decode
from claudebatch.estimate.scratch_index import EarlierResults, planned
from claudebatch.inputs import Selection, format_of
from claudebatch.layers.response_cache.description import digests, row_name
from claudebatch.layers.response_cache.nearest import CacheQuestion
from claudebatch.layers.response_cache.request_diff import AskedRequest
from claudebatch.layers.response_cache.request_notes import place_of
from claudebatch.setup.input_files import PreparedInputs
from claudebatch.setup.run_options import RunOptions
from claudebatch.setup.run_setup import RunSetup
from claudebatch.setup.stack import Keys

_AT_LINE = re.compile(r"(.+):(\d{1,12})")


class FileLine(NamedTuple):
    """A line of an input file."""

    file: str
    line: int


def file_line(text: str) -> FileLine | None:
    """`prompts.jsonl:17`; None where that is no file that there is."""
    found = _AT_LINE.fullmatch(text)
    if found is None or not Path(found[1]).is_file():
        return None
    return FileLine(found[1], int(found[2]))


def questions(
    options: RunOptions, flags: Mapping[str, Any], *, config: Path | None, at_line: int | None
) -> list[CacheQuestion]:
    """The rows that *options* choose, or those of the line *at_line* of their one
    input. Raises `ClaudebatchError` as the run would.
    """
    env = environment()
    options = replace(options, base_url=env.get("ANTHROPIC_BASE_URL") or None)
    if options.base_url is not None:
        check_base_url(options.base_url)
    at = datetime.fromtimestamp(unix_now(), UTC)
    _, run_setup = configured(options, flags, config, at=at)
    options.check_inputs()
    scope = key_scope(options)
    keys = Keys(scope)
    return [
        _question(call, keys(call), place_of(scope))
        for call in _calls(options, run_setup, at_line=at_line)
    ]


def _calls(options: RunOptions, run_setup: RunSetup, *, at_line: int | None) -> Iterator[Call]:
    nothing = EarlierResults(
        journal=None, key=Keys("").of, look_up=lambda keys: [None] * len(keys), retry_failed=False
    )
    with TemporaryDirectory(prefix="claudebatch-") as scratch:
        files = PreparedInputs(options, Path(scratch)).files()
        selection = options.selection
        # By its number: then no other line of a large file is parsed.
        if at_line is not None:
            number = _row_at(files[0].path, files[0].name, at_line, run_setup)
            selection = Selection(rows=((number, number),))
        with planned(run_setup, files, nothing, limit=None, selection=selection) as plan:
            yield from plan.calls(plan.positions())


def _row_at(path: Path, name: str, line: int, run_setup: RunSetup) -> int:
    """The number of the row that stands at *line*. No row is read for it."""
    form = format_of(path, run_setup.defaults, name=name)
    for number, record in enumerate(form.records(path), 1):
        if record.number == line:
            return number
        # A row of a table may take several lines, and blank lines are none.
        if record.number > line:
            break
    raise ClaudebatchError(
        "E805", f"{name}:{line}: no row begins there", fix="give the line of a row, or its id"
    )


def _question(call: Call, key: str, place: str) -> CacheQuestion:
    prompt = call.prompt
    body = decode(call.body)
    messages: Sequence[Any] = body.get("messages") or []
    return CacheQuestion(
        row=prompt.id,
        where=f"{prompt.file}:{prompt.line}",
        key=key,
        request=AskedRequest(body, prompt.betas, prompt.repeat, place),
        digests=digests(messages, row=row_name(call)),
        file=prompt.file,
    )
