"""`--processes` and `--engine`: the client of a run, in this process or spread over
several.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from claudebatch import __version__
from claudebatch.cli.bad_value import BadValue
from claudebatch.cli.sender_process import serve
from claudebatch.cli.wiring.api_target import ApiTarget, client_for
from claudebatch.clients.protocol import Client
from claudebatch.clients.senders.frames import Welcome
from claudebatch.clients.senders.process_links import ProcessPlaces, sender_command
from claudebatch.clients.senders.ray_links import RayPlaces
from claudebatch.clients.senders.sender_link import SenderPlaces
from claudebatch.clients.senders.spread_client import SpreadClient
from claudebatch.config import adopt, environment
from claudebatch.core.events import Emit
from claudebatch.setup.run_setup import RunSetup

# More processes than cores of any machine are a slip of the finger.
_MOST_PROCESSES = 512
_RAY = "ray://"
# After so many seconds without its head Ray ends the driver in the middle of a line,
# with the exit code of rows that failed. We stop before that, in good order.
_RAY_ENDS_US = "RAY_gcs_rpc_server_reconnect_timeout_s"
_NOT_IN_A_RUN_S = 86_400
# Proxies and certificates are each host's own.
_OF_API = "ANTHROPIC_"


@dataclass(frozen=True, slots=True)
class Spread:
    """Over how many processes a run sends its requests, and where they are."""

    processes: int | None = None
    """None: one on each host."""
    cluster: str | None = None
    """The address of a Ray cluster; None: on this host."""

    @property
    def alone(self) -> bool:
        """Whether this process sends itself."""
        return self.cluster is None and (self.processes or 1) == 1

    def places(self, max_outage_s: float) -> SenderPlaces:
        """Where the senders are started; a cluster may be away for *max_outage_s*."""
        if self.cluster is not None:
            if not environment().get(_RAY_ENDS_US):
                adopt({_RAY_ENDS_US: f"{_NOT_IN_A_RUN_S}"})
            return RayPlaces(
                self.processes, address=self.cluster, serve=serve, max_outage_s=max_outage_s
            )
        command = sender_command()
        return ProcessPlaces(self.processes or 1, command=command, environment=environment())

    def variables(self) -> dict[str, str]:
        """What senders must be told of the environment: those of this host have it."""
        if self.cluster is None:
            return {}
        return {name: value for name, value in environment().items() if name.startswith(_OF_API)}


ALONE = Spread()


def spread_of(*, processes: int | None, engine: str, simulate: bool) -> Spread:
    """What the flags say; raises `BadValue`."""
    if processes is not None and processes > _MOST_PROCESSES:
        raise BadValue(
            "E880",
            f"{processes} processes are more than any machine has cores: try --processes 4 "
            "(-j sets how many requests are in flight)",
        )
    if engine == "local":
        return Spread(processes)
    if engine != "ray" and not (engine.startswith(_RAY) and len(engine) > len(_RAY)):
        raise BadValue(
            "E881", f"{engine!r} is no engine: try local, ray, or ray://HOST:6379 for a cluster"
        )
    if simulate:
        # Its simulator listens on this host alone.
        raise BadValue(
            "E886", "--simulate stays on this host, and --engine ray leaves it: try --processes 4"
        )
    return Spread(processes, engine.removeprefix(_RAY) if engine != "ray" else "auto")


def connected(
    spread: Spread,
    api: ApiTarget,
    run_setup: RunSetup,
    *,
    concurrency: int,
    now: Callable[[], float],
    wall: Callable[[], datetime],
    emit: Emit,
) -> Client:
    """The client of the run. Make it inside a running event loop."""
    here = partial(client_for, api, run_setup, concurrency=concurrency, now=now, wall=wall)
    if spread.alone:
        return here()
    welcome = Welcome(
        version=__version__,
        base_url=api.base_url,
        api_key=api.api_key,
        # Any of them may come to hold all that is in flight.
        concurrency=concurrency,
        idle_timeout_s=run_setup.settings.idle_timeout_s,
        variables=spread.variables(),
    )
    max_outage_s = run_setup.settings.max_outage_s
    return SpreadClient(
        spread.places(max_outage_s),
        welcome,
        here=here,
        max_outage_s=max_outage_s,
        now=now,
        notify=emit,
    )
