"""The shared server of a run or a command: whose part of it, and who we are there."""

from __future__ import annotations

import random
from collections.abc import Callable
from hashlib import sha256

from claudebatch.core.drain import Drain
from claudebatch.core.notice import Notice
from claudebatch.storage.shared_server.client_names import client_name
from claudebatch.storage.shared_server.redis_server import RedisServer
from claudebatch.storage.shared_server.settings import SharedSettings


def shared_prefix(settings: SharedSettings, scope: str) -> str:
    """How all keys begin that users of one API and one account share; *scope* is that
    API.
    """
    # Not of the key: keys are replaced, and an account has several, whose limits and
    # money are the same.
    whose = f"{scope}\n{settings.account}" if settings.account else scope
    # Braces: a cluster keeps all keys of an account on one node, as scripts need it.
    return f"claudebatch:{{{sha256(whose.encode()).hexdigest()[:16]}}}"


def open_shared(
    settings: SharedSettings | None,
    *,
    scope: str,
    rng: random.Random,
    waits: Drain,
    now: Callable[[], float],
    max_outage_s: float,
    notify: Callable[[Notice], None],
) -> RedisServer | None:
    """The server that all hosts share, connected when it is first used; None where
    none is configured. Raises `ConfigError` without the package.

    Runs of one *scope* and account share what they have there.
    """
    if settings is None:
        return None
    return RedisServer(
        settings,
        prefix=shared_prefix(settings, scope),
        client=client_name(rng),
        sleep=waits.sleep,
        now=now,
        max_outage_s=max_outage_s,
        notify=notify,
    )
