"""The listeners of a run, and the sentences and limits that they start with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import median

from claudebatch.config.load import Loaded
from claudebatch.config.paths import Paths
from claudebatch.core.events import Deaf, Emit, Event
from claudebatch.core.notice import Notice
from claudebatch.core.stats.snapshot import LimitsByPool, MinuteLimits
from claudebatch.setup.pools import allowances
from claudebatch.setup.run_options import RunOptions
from claudebatch.setup.run_setup import RunSetup
from claudebatch.storage.ledger.known_batches import batch_durations
from claudebatch.storage.results_file import check_place
from claudebatch.storage.run_folder import beside


def audience(*listeners: Emit) -> Emit:
    """A subscriber that passes each event on to all *listeners* that hear."""
    hearing = [listener for listener in listeners if not isinstance(listener, Deaf)]

    def tell(event: Event) -> None:
        for listener in hearing:
            listener(event)

    return tell


def limits(run_setup: RunSetup) -> LimitsByPool:
    """The limits that a display shows until others are seen."""
    return {
        pool: MinuteLimits(
            requests=limit.requests_per_minute,
            input_tokens=limit.input_tokens_per_minute,
            output_tokens=limit.output_tokens_per_minute,
        )
        for pool, limit in allowances(run_setup.settings.limits, run_setup.catalog).items()
    }


def usual_batch_s(ledger: Path, address: str) -> float | None:
    """How long half of this machine's last batches at *address* took at most; None:
    there were none.
    """
    took = [seconds for _, seconds in batch_durations(ledger, address=address)]
    return median(took) if took else None


def details(loaded: Loaded, paths: Paths, options: RunOptions) -> Iterator[str]:
    """The files of a run and the origins of its settings, with which `-v` begins."""
    yield f"configuration: {loaded.path or 'none; every setting is at its default or a flag'}"
    for key, origin in loaded.origins.items():
        yield f"  {key} from {origin}"
    yield f"response cache: {paths.cache_dir if not options.no_cache else 'off'}"
    yield f"spend ledger: {paths.ledger}"
    if options.output_path is not None:
        yield f"journal: {beside(options.output_path)}"


def found_configuration(loaded: Loaded) -> Iterator[Notice]:
    """What is said first where a configuration counts that nobody named: a model or a
    system prompt of it would otherwise come from nowhere.
    """
    if loaded.found_unnamed and loaded.path is not None:
        set_here = ", ".join(key for key, place in loaded.origins.items() if ":" in place)
        yield Notice("N001", f"settings of {loaded.path.name} in this folder: {set_here or 'none'}")


def warnings(loaded: Loaded) -> Iterator[Notice]:
    """Settings about money from a file that the user did not name.

    A folder that was cloned or downloaded may bring one, and the cap is kept in its
    prices.
    """
    # The two settings by which a strange file could cost the user money.
    for key in ("prices", "confirm_above"):
        # A flag has no colon in its origin, a line of a file does.
        if loaded.found_unnamed and ":" in loaded.origins.get(key, ""):
            place = loaded.origins[key]
            yield Notice(
                "W001",
                f"{key} from {place}, a file that was only found in this folder; "
                f"-c names one on purpose",
            )


def reserved_paths(options: RunOptions, loaded: Loaded, paths: Paths) -> list[Path]:
    """The files and folders that a log must not be written into."""
    output = options.output_path
    results = []
    if output is not None:
        # A folder has no name beside which a run could lie.
        check_place(output)
        results = [output, beside(output)]
    # Standard input is no file that a log could overwrite.
    inputs = [Path(name) for name in options.inputs if name != "-"]
    others = [paths.ledger, paths.runs, paths.cache_dir, *([loaded.path] if loaded.path else [])]
    return [*inputs, *results, *others]
