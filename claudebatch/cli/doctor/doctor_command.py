"""`claudebatch doctor`: is everything in order for a run?"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from claudebatch.cli.doctor import machine_findings
from claudebatch.cli.run_loop import run_loop
from claudebatch.clients.base_url import check_base_url
from claudebatch.config import environment
from claudebatch.config.credentials import secrets
from claudebatch.config.load import Loaded, load
from claudebatch.config.machine import connections
from claudebatch.config.paths import Paths
from claudebatch.core.drain import Drain
from claudebatch.core.errors import ClaudebatchError, ExitCode
from claudebatch.core.reports.finding import Finding
from claudebatch.models.catalog import Catalog
from claudebatch.models.model_names import ModelNames
from claudebatch.models.prices import PriceBook
from claudebatch.setup.pools import slots
from claudebatch.setup.shared_server import shared_prefix
from claudebatch.setup.stores import cache_database
from claudebatch.storage.shared_server.server_check import look_at
from claudebatch.ui.machine.json_events import json_line
from claudebatch.ui.tables.doctor_findings import findings_json, render_findings
from claudebatch.ui.terminal import Terminal

_now = time.monotonic  # noqa: TID251  # a command is where time comes in


def doctor(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="YAML configuration.", show_default=False)
    ] = None,
    drill: Annotated[
        bool,
        typer.Option(
            "--drill",
            help="Also kill a simulated run twice in this folder, and check its files (seconds).",
        ),
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Send nothing to the API or the shared server.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Check key, network, clock, limits, shared server, prices, disk and files.

    Exit code 0: a run can start. Asks the API one question, which is free: the token
    count of two letters.

    Examples:

        claudebatch doctor

        claudebatch doctor --offline --drill
    """
    env = environment()
    # Everything is looked at before the first line: the exit code is the worst.
    findings = [*_look(config, env, offline=offline)]
    if drill:
        findings.append(run_loop(lambda: _drill(env)))
    if json:
        sys.stdout.write(json_line(findings_json(findings)))
    else:
        terminal = Terminal(sys.stdout, env, must_write=True)
        terminal.say_all(render_findings(findings, width=terminal.columns))
    raise typer.Exit(max((finding.exit_code for finding in findings), default=ExitCode.OK))


def _look(config: Path | None, env: Mapping[str, str], *, offline: bool) -> Iterator[Finding]:
    yield machine_findings.versions()
    loaded = load(config, {}, env=env, folder=Path())
    yield Finding(
        "config", "ok", str(loaded.path) if loaded.path else "none: every setting is at its default"
    )
    yield machine_findings.credential(env, home=Path.home())
    if not offline:
        yield from _ask(env, loaded)
        yield from _shared(env, loaded)
    yield _prices(loaded)
    paths = Paths.from_environment(env)
    yield from machine_findings.folder("this folder", Path.cwd(), now=_now, private=False)
    yield from machine_findings.folder("state", paths.ledger.parent, now=_now, private=True)
    yield from machine_findings.folder("cache", paths.cache_dir, now=_now, private=True)
    yield machine_findings.database(
        "ledger", paths.ledger, fix="move it away: resumed runs rebuild their part"
    )
    yield machine_findings.database(
        "responses", cache_database(paths.cache_dir), fix="nothing: the next run starts a new one"
    )
    wanted = slots(loaded.settings.limits)[1]
    yield machine_findings.open_files(wanted, connections(wanted))


def _ask(env: Mapping[str, str], loaded: Loaded) -> Iterator[Finding]:
    # The SDK behind it takes a second to load.
    from claudebatch.cli.doctor.api_findings import api_findings  # noqa: PLC0415
    from claudebatch.cli.wiring.api_target import route_to  # noqa: PLC0415
    from claudebatch.clients.probe import reach  # noqa: PLC0415

    # The missing key is a finding already.
    if not machine_findings.has_credential(env, home=Path.home()):
        return
    try:
        if env.get("ANTHROPIC_BASE_URL"):
            check_base_url(env["ANTHROPIC_BASE_URL"])
        found = run_loop(
            lambda: reach(
                api_key=None,
                base_url=None,
                model=_model(loaded),
                now=_now,
                wall=_wall,
                secrets=secrets(env),
                route=route_to(None),
            )
        )
    except ClaudebatchError as error:
        yield Finding("api", "failure", error.message, fix=error.fix, exit_code=error.exit_code)
        return
    yield from api_findings(found, wall=_wall())


def _shared(env: Mapping[str, str], loaded: Loaded) -> Iterator[Finding]:
    """The findings about the server that hosts share, if there is one."""
    settings = loaded.settings.shared
    if settings is None:
        return
    from claudebatch.cli.doctor.shared_findings import (  # noqa: PLC0415
        shared_findings,
        untold_finding,
    )
    from claudebatch.cli.wiring.api_target import scope_of  # noqa: PLC0415
    from claudebatch.cli.wiring.shared_views import asked_of_shared  # noqa: PLC0415

    prefix = shared_prefix(settings, scope_of(env.get("ANTHROPIC_BASE_URL")))
    try:
        facts = run_loop(
            lambda: look_at(settings, prefix=prefix, now=_now, wall=lambda: _wall().timestamp())
        )
    except ClaudebatchError as error:
        yield Finding("shared", "failure", error.message, fix=error.fix, exit_code=error.exit_code)
        return
    caps = bool(loaded.settings.budget.shared)
    yield from shared_findings(facts, settings.shown, caps=caps)
    if caps and facts.usable:
        try:
            yield untold_finding(asked_of_shared(loaded, lambda view: view.untold()))
        except ClaudebatchError as error:
            yield Finding("caps", "warning", error.message, fix=error.fix)


def _prices(loaded: Loaded) -> Finding:
    book = PriceBook.load(loaded.settings.prices, at=_wall())
    model = _model(loaded)
    problem = ModelNames(
        Catalog.load(loaded.settings.models), on=_wall().date(), vouched=loaded.settings.prices
    ).problem(model)
    if problem is not None:
        return Finding(
            "model", "failure", problem.reason, fix=problem.fix, exit_code=ExitCode.USAGE
        )
    if not book.knows(model):
        return Finding(
            "prices",
            "warning",
            f"{model} has no price",
            fix=f"set prices.{model}",
        )
    return Finding("prices", "ok", book.version)


def _model(loaded: Loaded) -> str:
    """The full name of the configured model."""
    return Catalog.load(loaded.settings.models).resolve(loaded.settings.model)


async def _drill(env: Mapping[str, str]) -> Finding:
    # Only a drill loads the simulator.
    from claudebatch.cli.doctor.drill import LATENCY, DrillRequests, drill  # noqa: PLC0415
    from claudebatch.simulator import Simulator, SimulatorSettings  # noqa: PLC0415

    simulator = Simulator(
        SimulatorSettings(latency=LATENCY),
        bill=lambda _model, _usage: 0,
        now=_now,
        wall=_wall,
        rng=random.Random(),
    )
    asked = DrillRequests()
    simulator.on_request = asked
    url = await simulator.start()
    try:
        return await drill(Path.cwd(), url, asked, env, Drain().sleep)
    finally:
        await simulator.stop()


def _wall() -> datetime:
    return datetime.now(UTC)  # noqa: TID251  # a command is where time comes in
