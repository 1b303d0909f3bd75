"""What `run --dry-run` sets in motion."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from claudebatch.cli.endpoint import api_model, key_scope
from claudebatch.config import environment
from claudebatch.config.paths import Paths
from claudebatch.config.schema import Config
from claudebatch.config.units import seconds, size
from claudebatch.errors import ClaudebatchError, ExitCode
from claudebatch.planning.dry_run import Kept, estimate
from claudebatch.planning.options import RunOptions
from claudebatch.planning.workshop import Workshop
from claudebatch.stack import Keys
from claudebatch.stores.output import check_place
from claudebatch.stores.response_cache import DiskCacheStore
from claudebatch.stores.run_dir import beside
from claudebatch.ui.json_events import json_line
from claudebatch.ui.tables import estimate_json, render_estimate
from claudebatch.ui.terminal import Terminal


def tell_estimate(options: RunOptions, workshop: Workshop, paths: Paths, *, json: bool) -> int:
    """Print what the run would do and cost; returns the exit code. Raises `ClaudebatchError` as the run would."""
    if "-" in options.inputs:
        raise ClaudebatchError("a dry run of standard input would use it up", fix="write the prompts to a file first")
    output = options.output_path
    if output is not None:
        check_place(output)
    found = estimate(
        workshop,
        [Path(name) for name in options.inputs],
        Kept(
            journal=beside(output) / "journal.sqlite" if output is not None and not options.fresh else None,
            key=Keys(key_scope(options)),
            look_up=_look_up(options, workshop.config, paths),
            retry_failed=options.retry_failed,
            simulated=options.simulate,
        ),
        limit=options.limit,
        output=str(output) if output is not None else "-",
        api=api_model(options, workshop.config),
    )
    if json:
        sys.stdout.write(json_line(estimate_json(found)))
    else:
        Terminal(sys.stdout, environment(), must_write=True).say_all(render_estimate(found))
    return ExitCode.OK


def _look_up(options: RunOptions, config: Config, paths: Paths) -> Callable[[Any], Any]:
    cache = config.cache
    if options.no_cache or not cache.enabled or not (paths.cache_dir / "cache.db").exists():
        return lambda keys: [None] * len(keys)
    store = DiskCacheStore(
        paths.cache_dir,
        size_limit=size("cache.size", cache.size),
        ttl_s=None if cache.ttl is None else seconds("cache.ttl", cache.ttl),
        notify=lambda _: None,
    )
    return store.look_up
