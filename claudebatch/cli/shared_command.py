"""`claudebatch shared`: what stands at the server that hosts share, the end of what a
dead one has left there, and what it has forgotten.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from claudebatch.cli.help_text import HelpCommand, HelpGroup
from claudebatch.cli.wiring.shared_views import asked_of_shared
from claudebatch.config import environment
from claudebatch.config.load import load
from claudebatch.core.errors import ClaudebatchError, LockedError
from claudebatch.setup.shared_view import SharedView
from claudebatch.ui.machine.json_events import json_line
from claudebatch.ui.tables.shared_tables import (
    render_left,
    render_restored,
    render_shared,
    shared_json,
    untold_json,
)
from claudebatch.ui.terminal import Terminal

T = TypeVar("T")

app = typer.Typer(
    cls=HelpGroup,
    help="""Look at the server that hosts share, free what a dead host left, or restore it.

Examples:

    claudebatch shared status

    claudebatch shared release 20261122T1204

    claudebatch shared restore
""",
    no_args_is_help=True,
)
"""The sub-commands of `shared`; the main app mounts it."""

_Json = Annotated[bool, typer.Option("--json", help="One JSON object, dollars as exact strings.")]
_Config = Annotated[
    Path | None, typer.Option("--config", "-c", help="YAML configuration.", show_default=False)
]


@app.command(cls=HelpCommand)
def status(config: _Config = None, json: _Json = False) -> None:
    """Show limits, requests in flight, who waits, caps, runs and answers of all hosts.

    As they stand at the shared server now; nothing is changed. Reserved is what
    requests in flight may cost at most. A run is alive if it was heard of within a
    minute.

    Examples:

        claudebatch shared status

        claudebatch shared status --json
    """
    state = _asked(config, lambda view: view.state())
    if json:
        sys.stdout.write(json_line(shared_json(state)))
        return
    _stdout().say_all(render_shared(state))


@app.command(cls=HelpCommand)
def release(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="The id of a run, or the name of its machine.")
    ],
    free: Annotated[
        bool,
        typer.Option("--free", help="The Console shows that none of it was billed."),
    ] = False,
    config: _Config = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: _Json = False,
) -> None:
    """End what a dead run or machine holds at the shared server.

    Its requests in flight make room for others at once. Its reserved money counts as
    spent (maybe billed) until its journal says better, or with --free is given back.
    What is known to be spent is never lowered. A run that is alive is left alone.

    Examples:

        claudebatch shared release 20261122T1204

        claudebatch shared release host-3 --yes
    """
    state = _asked(config, lambda view: view.state())
    left = state.left_by(run)
    if not (left.runs or left.in_flight):
        raise ClaudebatchError(
            "E876",
            f"nothing at the shared server is of {run}",
            fix="`claudebatch shared status` shows runs and machines",
        )
    alive = next((each for each in left.runs if each.state == "alive"), None)
    if alive is not None:
        raise LockedError(
            "E877",
            f"{alive.run} was heard of {alive.heard_s or 0:.0f} s ago: it is alive",
            fix="stop it; a minute after that what it holds counts as spent by itself",
        )
    what = render_left(left, free=free)
    if not yes and not _confirmed(what):
        raise typer.Exit(0)
    done = _asked(config, lambda view: view.release(left, free=free))
    if json:
        sys.stdout.write(json_line(done))
    else:
        _stdout().say_all(what if yes else ["released"])


@app.command(cls=HelpCommand)
def restore(config: _Config = None, json: _Json = False) -> None:
    """Tell the shared server what this machine has spent and it does not know.

    For one that has lost its memory: a machine on which nothing runs tells it nothing
    by itself. What the server knows is only ever raised. Runs that are alive tell their
    own.

    Examples:

        claudebatch shared restore
    """
    told = _asked(config, lambda view: view.restore())
    if json:
        sys.stdout.write(json_line({"told": untold_json(told)}))
    else:
        _stdout().say_all([render_restored(told)])


def _confirmed(what: list[str]) -> bool:
    if not sys.stdin.isatty():
        raise ClaudebatchError(
            "E878", f"{what[0]}, and there is no terminal to ask on", fix="add --yes"
        )
    Terminal(sys.stderr, environment()).say_all(what)
    return typer.confirm("Release it?", err=True)


def _asked(config: Path | None, ask: Callable[[SharedView], Awaitable[T]]) -> T:
    return asked_of_shared(load(config, {}, env=environment(), folder=Path()), ask)


def _stdout() -> Terminal:
    return Terminal(sys.stdout, environment(), must_write=True)
