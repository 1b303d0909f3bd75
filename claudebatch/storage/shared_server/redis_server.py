"""The connection to the shared server: scripts, run with time-outs, and what is said
while it is away.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Protocol, TypeAlias

from claudebatch.core.errors import StopRun
from claudebatch.core.notice import Notice
from claudebatch.core.reports.shared_waits import SharedWaits
from claudebatch.storage.shared_server.redis_connection import connected
from claudebatch.storage.shared_server.script import Script
from claudebatch.storage.shared_server.server_faults import SharedServerGone, SharedServerRefuses
from claudebatch.storage.shared_server.settings import SharedSettings
from claudebatch.storage.shared_server.wait_counter import WaitCounter

Value: TypeAlias = str | bytes | int
"""What goes into a script; numbers with a fraction as text."""


class ServerAway(Exception):
    """The server cannot serve now, for a reason that may pass."""


class ScriptServer(Protocol):
    """Runs scripts; what stores need of the shared server."""

    @property
    def prefix(self) -> str:
        """Begins every key: one account's keys, on one node of a cluster."""
        ...

    @property
    def client(self) -> str:
        """This process among all that use the server."""
        ...

    @property
    def waits(self) -> WaitCounter:
        """What this process has waited for here."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait, unless the run is being stopped: `Draining`."""
        ...

    async def run(self, script: Script, keys: Sequence[str], *values: Value) -> list[bytes]:
        """What *script* answers. `ARGV[1]` is a clock of tests, else empty; *values*
        follow. Raises `ServerAway`, or `StopRun` where waiting helps nothing.

        It may have run although the answer was lost.
        """
        ...


class RedisServer:
    """A `ScriptServer` that is Redis, or speaks its language.

    Each call is tried once more on a new connection: one that lay idle may be gone. So
    a script may run twice, and each of them must count once.
    """

    def __init__(
        self,
        settings: SharedSettings,
        *,
        prefix: str,
        client: str,
        sleep: Callable[[float], Awaitable[None]],
        now: Callable[[], float],
        max_outage_s: float,
        notify: Callable[[Notice], None],
    ) -> None:
        """*max_outage_s*: when it was away for longer, a call raises `StopRun`."""
        self.prefix = prefix
        self.client = client
        self.waits = WaitCounter(now)
        self._settings = settings
        self._sleep = sleep
        self._now = now
        self._max_outage_s = max_outage_s
        self._notify = notify
        # Mutable: since when it is away, and whether that was said; the connections.
        self._away_since: float | None = None
        self._errors, self._redis = connected(settings)

    async def sleep(self, seconds: float) -> None:
        """Wait *seconds* through the run's own waits."""
        await self._sleep(seconds)

    async def run(self, script: Script, keys: Sequence[str], *values: Value) -> list[bytes]:
        """What *script* answers, at the second try at the latest."""
        began = self._now()
        self.waits.round_trips += 1
        try:
            answer = await self._twice(script, keys, values)
        except self._errors.RedisError as error:
            # Not chained: the library's errors may name the address with its password.
            raise self._meaning(error) from None
        except OSError as error:
            raise self._away(str(error)) from None
        finally:
            self.waits.server_s += self._now() - began
        if self._away_since is not None:
            away_s, self._away_since = self._now() - self._away_since, None
            self.waits.away_s += away_s
            self._notify(
                Notice("N128", f"shared server {self._settings.shown}: back after {away_s:.0f} s")
            )
        return answer

    def waited(self) -> SharedWaits:
        """What was waited for until now."""
        found = self.waits.report()
        if self._away_since is None:
            return found
        return replace(found, away_s=found.away_s + self._now() - self._away_since)

    async def close(self) -> None:
        """Close all connections."""
        await self._redis.aclose()

    async def _twice(
        self, script: Script, keys: Sequence[str], values: Sequence[Value]
    ) -> list[bytes]:
        try:
            return await self._once(script, keys, values)
        except self._errors.NoScriptError:
            # A server that was started anew has no scripts.
            return await self._once(script, keys, values, whole=True)
        except (self._errors.ConnectionError, OSError) as error:
            # A second try would end as the first one.
            if isinstance(error, self._errors.AuthenticationError | self._errors.BusyLoadingError):
                raise
            return await self._once(script, keys, values, whole=True)

    async def _once(
        self,
        script: Script,
        keys: Sequence[str],
        values: Sequence[Value],
        *,
        whole: bool = False,
    ) -> list[bytes]:
        ask, named = (self._redis.eval, script.text) if whole else (self._redis.evalsha, script.sha)
        answer: list[bytes] = await ask(named, len(keys), *keys, "", *values)
        return answer

    def _meaning(self, error: Exception) -> ServerAway | StopRun:
        refused = (
            self._errors.AuthenticationError,
            self._errors.AuthorizationError,
            self._errors.NoPermissionError,
        )
        if isinstance(error, refused) or str(error).startswith(("WRONGPASS", "NOAUTH", "NOPERM")):
            return SharedServerRefuses(
                "E870",
                f"shared server {self._settings.shown} refuses this user: {error}",
                fix="check user and password in CLAUDEBATCH_SHARED; docs/many-hosts.md has the "
                "rights that are needed",
            )
        # Full, read-only, loading, failed over: whatever it is, an operator can mend it
        # while the run waits.
        return self._away(str(error))

    def _away(self, reason: str) -> ServerAway | StopRun:
        moment = self._now()
        if self._away_since is None:
            self._away_since = moment
            self._notify(
                Notice(
                    "W128",
                    f"shared server {self._settings.shown}: {reason}; nothing is sent until it "
                    "answers",
                )
            )
        if moment - self._away_since > self._max_outage_s:
            return SharedServerGone(
                "E871",
                f"shared server {self._settings.shown}: no answer for "
                f"{moment - self._away_since:.0f} s: {reason}",
                fix="start it, then run the same command",
            )
        return ServerAway(reason)
