"""`claudebatch simulate`: a Messages API on this machine, to rehearse against without a
key or a cent.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from claudebatch.cli.run_loop import run_loop
from claudebatch.cli.typer_command import typer_command
from claudebatch.core.domain import Pico, Usage
from claudebatch.core.errors import ClaudebatchError, ExitCode
from claudebatch.core.process_signals import signal_handler
from claudebatch.models.catalog import Catalog
from claudebatch.models.prices import PriceBook, UnknownPrice
from claudebatch.ui.sanitise import visible

if TYPE_CHECKING:
    from claudebatch.simulator import SimulatorSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class _SimulateFlags:
    """One field for each option, in the order of `--help`."""

    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes any free one.")
    ] = 0
    latency: Annotated[
        str, typer.Option(help="fixed:SECONDS, uniform:LOW,HIGH or lognormal:MEDIAN,SIGMA.")
    ] = "lognormal:0.25,0.4"
    rpm: Annotated[
        int | None, typer.Option(help="Requests per minute, for models that share limits.")
    ] = None
    itpm: Annotated[int | None, typer.Option(help="Input tokens per minute, likewise.")] = None
    otpm: Annotated[int | None, typer.Option(help="Output tokens per minute, likewise.")] = None
    burst_seconds: Annotated[
        float, typer.Option(help="Seconds of allowance that a full bucket holds.")
    ] = 60.0
    fault: Annotated[
        list[str] | None,
        typer.Option(help="NAME=PROBABILITY, such as 529=0.02 or cut=0.01; may be repeated."),
    ] = None
    script: Annotated[
        str, typer.Option(help="Faults of the first requests, such as ok,529,reset.")
    ] = ""
    seed: Annotated[
        int, typer.Option(help="Another seed gives other answers, latencies and faults.")
    ] = 0
    batch_time: Annotated[
        str, typer.Option(help="How much faster than real time batches live, such as 60x.")
    ] = "1x"
    batch_latency: Annotated[
        str, typer.Option(help="Seconds that a batch takes, of its own time; as --latency.")
    ] = "lognormal:900,0.7"
    batch_rpm: Annotated[
        int | None, typer.Option(help="Requests per minute to the batch endpoints.")
    ] = None
    batch_queue: Annotated[
        int | None, typer.Option(help="Requests of all batches that may wait at once.")
    ] = None
    max_concurrency: Annotated[
        int | None, typer.Option(help="More requests in flight than this get a 429.")
    ] = None
    use_all_max_tokens: Annotated[
        bool,
        typer.Option("--use-all-max-tokens", help="Every answer spends all of its max_tokens."),
    ] = False
    adversarial: Annotated[
        bool,
        typer.Option("--adversarial", help="Every request is billed at the most that it can cost."),
    ] = False
    strip_headers: Annotated[
        bool, typer.Option("--strip-headers", help="Leave the anthropic-ratelimit headers out.")
    ] = False
    retry_after: Annotated[
        bool,
        typer.Option(
            "--retry-after/--no-retry-after", help="Whether a 429 says when to come back."
        ),
    ] = True


@typer_command(_SimulateFlags)
def simulate(flags: _SimulateFlags) -> None:
    """Serve a simulated Claude API on 127.0.0.1 until Ctrl-C.

    Nothing leaves this machine and nothing is billed.

    Examples:

        claudebatch simulate --port 8099

        claudebatch simulate --port 8099 --rpm 600 --itpm 200000 --burst-seconds 1

        claudebatch simulate --fault 529=0.05 --fault reset=0.02 --latency fixed:0

        claudebatch simulate --batch-time 60x --fault batch_expired=0.01
    """
    run_loop(lambda: _serve(flags))


async def _serve(flags: _SimulateFlags) -> None:
    # The simulator is loaded only by the commands that simulate: every other start
    # stays light.
    from claudebatch.simulator import Simulator  # noqa: PLC0415

    catalog = Catalog.load()
    simulator = Simulator(
        _settings(flags),
        bill=_bill(PriceBook.load(at=_wall())),
        pool_of=catalog.pool_of,
        now=time.monotonic,  # noqa: TID251 - a command is where time comes in
        wall=_wall,
        rng=random.Random(flags.seed),
        known=catalog.known,
    )
    # Before the address is printed: a script may stop it as soon as it reads that.
    stopped = asyncio.Event()
    signal_handler().pass_to(lambda _: stopped.set())
    url = await _start(simulator.start, flags.port)
    try:
        typer.echo(f"listening on {url}")
        typer.echo(_how_to_use(url), err=True)
        await stopped.wait()
    finally:
        await simulator.stop()


def _settings(flags: _SimulateFlags) -> SimulatorSettings:
    # As in `_serve`.
    from claudebatch.simulator import (  # noqa: PLC0415
        SimulatedAllowance,
        SimulatedBatches,
        SimulatorSettings,
        parse_batch_time,
        parse_faults,
    )

    return SimulatorSettings(
        latency=flags.latency,
        limits=SimulatedAllowance(flags.rpm, flags.itpm, flags.otpm, flags.burst_seconds),
        faults=parse_faults(flags.fault or ()),
        script=tuple(word.strip() for word in flags.script.split(",") if word.strip()),
        seed=flags.seed,
        max_concurrency=flags.max_concurrency,
        use_all_max_tokens=flags.use_all_max_tokens,
        adversarial=flags.adversarial,
        strip_headers=flags.strip_headers,
        retry_after=flags.retry_after,
        batches=SimulatedBatches(
            time=parse_batch_time(flags.batch_time),
            latency=flags.batch_latency,
            rpm=flags.batch_rpm,
            queue=flags.batch_queue,
        ),
    )


def _bill(prices: PriceBook) -> Callable[[str, Usage], Pico]:
    """The book's prices; a model without one is billed nothing, which is said once."""
    # One warning for each model: a rehearsal sends thousands of requests.
    unpriced: set[str] = set()

    def bill(model: str, usage: Usage) -> Pico:
        try:
            return prices.cost(model, usage)
        except UnknownPrice:
            if model not in unpriced:
                unpriced.add(model)
                typer.echo(
                    f"warning: no price is known for {visible(model)}: /__stats bills it at $0",
                    err=True,
                )
            return 0

    return bill


async def _start(start: Callable[[int], Awaitable[str]], port: int) -> str:
    try:
        return await start(port)
    except OSError as error:
        raise ClaudebatchError(
            "E020",
            f"cannot listen on 127.0.0.1:{port}: {error.strerror or error}",
            fix="choose another port, or leave --port out for any free one",
            exit_code=ExitCode.LOCAL_IO,
        ) from error


def _wall() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - a command is where time comes in


def _how_to_use(url: str) -> str:
    return (
        "In another terminal:\n"
        f"  ANTHROPIC_BASE_URL={url} ANTHROPIC_API_KEY=simulated \\\n"
        f"    claudebatch run prompts.jsonl\n"
        f"What it saw: {url}/__stats    Stop: Ctrl-C"
    )
