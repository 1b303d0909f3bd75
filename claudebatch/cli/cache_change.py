"""`claudebatch cache prune`, `verify`, `export` and `import`: what changes the response
cache, or takes it elsewhere.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import IO, Annotated

import typer

from claudebatch.cli.cache_options import (
    EntryFlags,
    LargerThan,
    ModelPart,
    OlderThan,
    OneObject,
    SettingsFile,
    cache_folder,
    entry_filter,
    price_of,
    settings_of,
)
from claudebatch.cli.dates import unix_now
from claudebatch.cli.typer_command import typer_command
from claudebatch.config import environment
from claudebatch.config.settings import Settings
from claudebatch.core.errors import ClaudebatchError, ExitCode, StorageError
from claudebatch.core.jsonl import read_lines
from claudebatch.core.plurals import counted
from claudebatch.core.reports import CacheGroup
from claudebatch.core.reports.cache_audit import CacheAudit, CacheImport
from claudebatch.layers.response_cache.entries import CacheReader, changing, make_cache, reading
from claudebatch.layers.response_cache.exchange import exported, imported
from claudebatch.layers.response_cache.prune import prune as prune_entries
from claudebatch.layers.response_cache.prune import to_prune
from claudebatch.layers.response_cache.verify import verify as look_through
from claudebatch.ui.machine.json_events import json_line
from claudebatch.ui.tables.cache_change_text import (
    audit_json,
    import_json,
    prune_json,
    render_audit,
    render_import,
    render_prune,
)
from claudebatch.ui.terminal import Terminal

_Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneFlags:
    """One field for each option of `prune`, in the order of `--help`."""

    older_than: OlderThan = None
    model: ModelPart = None
    larger_than: LargerThan = None
    config: SettingsFile = None
    yes: _Yes = False
    json: OneObject = False


@typer_command(PruneFlags)
def prune(flags: PruneFlags) -> None:
    """Delete some cached answers; asking again costs money again.

    Says first what goes, and what it would cost. All that is given has to be true.

    Examples:

        claudebatch cache prune --older-than 30d

        claudebatch cache prune --model haiku --larger-than 500KB --yes
    """
    wanted = entry_filter(
        model=flags.model, older_than=flags.older_than, larger_than=flags.larger_than
    )
    if not wanted:
        raise ClaudebatchError(
            "E808",
            "cache prune deletes what is chosen, and nothing is",
            fix="give --older-than, --model or --larger-than; `cache clear` deletes all",
        )
    folder, now = cache_folder(), unix_now()
    stderr = Terminal(sys.stderr, environment())
    with _opened(settings_of(flags.config)) as cache:
        groups = to_prune(cache, wanted, now=now) if cache is not None else ()
        # Before it is asked and before it is done, with --yes as well.
        if not flags.json:
            stderr.tell(render_prune(groups))
        deleted = 0
        if cache is not None and groups and (flags.yes or _confirmed(groups)):
            with changing(folder):
                deleted = prune_entries(cache, wanted, now=now)
    if flags.json:
        sys.stdout.write(json_line(prune_json(groups, deleted)))
    elif deleted:
        stderr.say(f"{counted(deleted, 'cached answer')} deleted from {folder}")


def _confirmed(groups: tuple[CacheGroup, ...]) -> bool:
    # In a script nobody answers, and silence must not cost money.
    if not sys.stdin.isatty():
        raise ClaudebatchError(
            "E809",
            "this deletes cached answers, and there is no terminal to ask on",
            fix="add --yes",
        )
    entries = sum(group.entries for group in groups)
    return typer.confirm(f"Delete {counted(entries, 'cached answer')}?", err=True)


def verify(
    repair: Annotated[
        bool, typer.Option("--repair", help="Remove what is damaged or belongs to nothing.")
    ] = False,
    config: SettingsFile = None,
    json: OneObject = False,
) -> None:
    """Check every cached answer, and look for files that belong to none.

    Exit code 6 if something is found. What is removed is asked for again, once.

    Examples:

        claudebatch cache verify

        claudebatch cache verify --repair
    """
    folder = cache_folder()
    with _opened(settings_of(config)) as cache, changing(folder):
        found = (
            look_through(cache, repair=repair, now=unix_now())
            if cache is not None
            else CacheAudit(str(folder))
        )
    if json:
        sys.stdout.write(json_line(audit_json(found)))
    else:
        _stdout().tell(render_audit(found))
    if not found.sound and (found.structure is not None or not repair):
        raise typer.Exit(ExitCode.LOCAL_IO)


@dataclass(frozen=True, kw_only=True)
class _Target:
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="A new file; - for stdout.")
    ] = "-"


# Fields of the last base come first, and so do options in `--help`.
@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFlags(EntryFlags, _Target):
    """One field for each option of `export`, in the order of `--help`."""

    config: SettingsFile = None


@typer_command(ExportFlags)
def export_answers(flags: ExportFlags) -> None:
    """Write cached answers with their requests as JSON lines, for a colleague.

    They hold prompts and answers in full: a file is made for you alone to read.

    Examples:

        claudebatch cache export -o answers.cache.jsonl --model opus

        claudebatch cache export --newer-than 7d -o week.jsonl
    """
    wanted = flags.wanted
    # A line at a time: a cache of gigabytes goes out in a few megabytes of memory.
    written = 0
    with _opened(settings_of(flags.config)) as cache, _target(flags.output) as target:
        for line in exported(cache, wanted, now=unix_now()) if cache is not None else ():
            target.write(line)
            written += 1
    name = "standard output" if flags.output == "-" else flags.output
    said = f"{counted(written, 'cached answer')} written to {name}"
    Terminal(sys.stderr, environment()).say(said)


@contextmanager
def _target(output: str) -> Iterator[IO[bytes]]:
    if output == "-":
        yield sys.stdout.buffer
        return
    try:
        # Never an existing one: its mode may let others read.
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        descriptor = os.open(output, flags, 0o600)
    except FileExistsError as error:
        raise StorageError(
            "E810", f"{output} is there already", fix="remove it, or choose another name"
        ) from error
    with os.fdopen(descriptor, "wb") as file:
        yield file


def import_answers(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Made by `cache export`.")],
    config: SettingsFile = None,
    json: OneObject = False,
) -> None:
    """Take cached answers of a colleague over; those that are there stay.

    Each key is made anew from its request: no answer can stand under another question.
    That the API wrote it cannot be proved: import files of people you trust.

    Examples:

        claudebatch cache import answers.cache.jsonl

        claudebatch cache import answers.cache.jsonl --json
    """
    # The address is part of each key.
    from claudebatch.cli.wiring.api_target import scope_of  # noqa: PLC0415

    settings, folder = settings_of(config), cache_folder()
    lines = read_lines(file)
    # Read first: a file that is not there must not make an empty cache.
    first = [*islice(lines, 1)]
    with changing(folder):
        make_cache(folder, settings.cache.size_bytes)
    found = CacheImport(0, 0, {})
    with _opened(settings) as cache, changing(folder):
        if cache is not None:
            found = imported(
                cache,
                chain(first, lines),
                settings.cache,
                scope=scope_of(environment().get("ANTHROPIC_BASE_URL") or None),
                worth=price_of(settings),
                now=unix_now(),
            )
    if json:
        sys.stdout.write(json_line(import_json(found)))
        return
    _stdout().tell(render_import(found, str(file)))


def _opened(settings: Settings) -> AbstractContextManager[CacheReader | None]:
    return reading(cache_folder(), worth=price_of(settings), size_limit=settings.cache.size_bytes)


def _stdout() -> Terminal:
    return Terminal(sys.stdout, environment(), must_write=True)
