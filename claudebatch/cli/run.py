"""`claudebatch run`: the main job."""

from __future__ import annotations

import typer

from claudebatch.cli.bad_value import BadValue
from claudebatch.cli.run_flags import RunFlags
from claudebatch.cli.typer_command import typer_command
from claudebatch.cli.wiring.run_arguments import config_flags, run_options
from claudebatch.core.errors import ClaudebatchError, StopRun


@typer_command(RunFlags)
def run(flags: RunFlags) -> None:
    """Send every prompt of INPUT to Claude; one result line each.

    The same command again resumes where it stopped.

    Examples:

        claudebatch run prompts.jsonl

        claudebatch run prompts.jsonl --dry-run

        claudebatch run prompts.jsonl -o answers.jsonl -m haiku --budget 5

        echo '{"prompt": "hi"}' | claudebatch run -
    """
    _check_together(flags)
    # The machinery of a run: `--help` need not wait for it.
    from claudebatch.cli.wiring.display import Show, tell_error  # noqa: PLC0415
    from claudebatch.cli.wiring.launch import execute  # noqa: PLC0415
    from claudebatch.cli.wiring.spread import spread_of  # noqa: PLC0415

    show = Show(
        json=flags.json,
        quiet=flags.quiet,
        verbose=flags.verbose,
        progress=not flags.no_progress,
        log=flags.log,
        log_prompts=flags.log_prompts,
    )
    spread = spread_of(processes=flags.processes, engine=flags.engine, simulate=flags.simulate)
    options, settings = run_options(flags), config_flags(flags)
    if flags.deadline is not None and not flags.dry_run:
        # Whatever the configuration says: the plan decides.
        settings["via"] = "auto"
    try:
        code = execute(
            options,
            settings,
            config=flags.config,
            show=show,
            dry_run=flags.dry_run,
            yes=flags.yes,
            spread=spread,
        )
    except (ClaudebatchError, StopRun) as error:
        if flags.json and not flags.dry_run:
            # Besides the words on standard error: a program reads the events only.
            tell_error(error, results_on_stdout=options.output_path is None)
        raise
    raise typer.Exit(code)


def _check_together(flags: RunFlags) -> None:
    """Refuse options that contradict each other or have no effect beside each other."""
    # Said before anything is loaded: an option without an effect is a mistake.
    if flags.log_prompts and flags.log is None:
        raise BadValue("E061", "--log-prompts needs a log: add --log FILE")
    if flags.count_rows is not None and not flags.dry_run:
        raise BadValue(
            "E062", "--count is for dry runs: add --dry-run, or use `claudebatch estimate`"
        )
    if flags.no_cache and flags.refresh_cache:
        raise BadValue("E811", "--no-cache keeps nothing that --refresh-cache could renew")
    if flags.batch and flags.via == "live":
        raise BadValue("E068", "--batch and --via live contradict each other: leave one out")
    if flags.deadline is not None and not flags.dry_run:
        _check_deadline(flags)
    if flags.detach and flags.simulate:
        # The simulator ends with its run, and so would its batches.
        raise BadValue("E069", "--detach leaves nothing behind in a rehearsal: leave it out")


def _check_deadline(flags: RunFlags) -> None:
    """Refuse what a run with a deadline cannot do."""
    if flags.batch or flags.via in ("live", "batch"):
        given = "--batch" if flags.batch else f"--via {flags.via}"
        raise BadValue(
            "E843",
            f"--deadline decides what goes by batch, and {given} does, too: leave one out",
        )
    if flags.detach:
        raise BadValue(
            "E844", "--deadline needs a run that stays to give late batches up: leave --detach out"
        )
