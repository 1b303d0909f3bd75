"""`claudebatch shapes`: the lines of other tools that are read as they are."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from claudebatch.config import environment
from claudebatch.ui.machine.json_events import json_line
from claudebatch.ui.tables.shape_table import render_shapes
from claudebatch.ui.terminal import Terminal


def shapes(
    json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> None:
    """List the lines of other tools that --shape can name.

    They are read unasked where a line can be nothing else.

    Examples:

        claudebatch shapes

        claudebatch shapes --json
    """
    # It reads lines of every shape: `--help` need not wait for it.
    from claudebatch.setup.shape_list import listed_shapes  # noqa: PLC0415

    found = listed_shapes()
    if json:
        for shape in found:
            fields = {"name": shape.name, "looks": shape.looks, "becomes": shape.becomes}
            sys.stdout.write(json_line(fields))
        return
    Terminal(sys.stdout, environment(), must_write=True).tell(render_shapes(found))
