"""A question to the shared server, for commands that send no rows."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from claudebatch.cli import dates
from claudebatch.cli.run_loop import run_loop
from claudebatch.config import environment
from claudebatch.config.load import Loaded
from claudebatch.config.paths import Paths
from claudebatch.core.errors import ClaudebatchError, ExitCode
from claudebatch.setup.shared_view import SharedView
from claudebatch.storage.shared_server.redis_server import ServerAway

_now = time.monotonic  # noqa: TID251  # a command is where time comes in
T = TypeVar("T")


def asked_of_shared(loaded: Loaded, ask: Callable[[SharedView], Awaitable[T]]) -> T:
    """What the server answers. Raises `ClaudebatchError` where it does not, or none is
    configured.
    """
    shared = loaded.settings.shared
    if shared is None:
        raise ClaudebatchError(
            "E879",
            "no shared server is configured",
            fix="export CLAUDEBATCH_SHARED=redis://…, or name it in a configuration (-c)",
        )

    async def answered() -> T:
        view = _view(loaded)
        try:
            return await ask(view)
        finally:
            await view.close()

    try:
        return run_loop(answered)
    except ServerAway as away:
        raise ClaudebatchError(
            "E890",
            f"shared server {shared.shown}: {away}",
            fix="`claudebatch doctor` says what is wrong with it",
            exit_code=ExitCode.UNAVAILABLE,
        ) from None


def _view(loaded: Loaded) -> SharedView:
    # The machinery of requests: `--help` need not wait for it.
    from claudebatch.cli.wiring.api_target import scope_of  # noqa: PLC0415

    return SharedView.open(
        loaded.settings,
        scope=scope_of(environment().get("ANTHROPIC_BASE_URL")),
        rng=random.Random(),
        now=_now,
        today=dates.today().isoformat(),
        ledger=Paths.from_environment(environment()).ledger,
    )
