"""Answers that all hosts share at the shared server, and who of them asks for one.

Before a host asks, it claims the key: the others wait for its answer and take that. A
claim is a lease with a token. It is renewed while its attempt is out; one that lapsed
and passed to another host is worth nothing any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path

from claudebatch.core.errors import StopRun
from claudebatch.core.notice import Notice
from claudebatch.storage.shared_server.carried_out import carried_out
from claudebatch.storage.shared_server.redis_server import ScriptServer, ServerAway, Value
from claudebatch.storage.shared_server.script import Script

_ANSWERS = Script.read(Path(__file__).with_name("lua"), "answers.lua")
# One script holds up all others at the server: so many keys are looked up in a tenth of
# a millisecond, and no more bytes than that go in at once.
_KEYS_AT_ONCE = 200
_BYTES_AT_ONCE = 4 * 2**20
# A host that dies keeps its key from the others for so long.
_CLAIM_S = 30
_RENEWED_EVERY_S = 10.0
_LOOK_AGAIN_S = 0.1


class RedisCacheStore:
    """A `CacheStore` at the shared server, which knows what is being asked as well. It
    fails like any cache: the run goes on without it.
    """

    def __init__(
        self,
        server: ScriptServer,
        *,
        size_limit: int,
        ttl_s: float | None,
        notify: Callable[[Notice], None],
    ) -> None:
        """*size_limit*: bytes of all answers; the oldest go first. *ttl_s*: an answer's
        life in seconds.
        """
        self._server = server
        self._limits: tuple[Value, Value] = (
            "" if ttl_s is None else max(1, int(ttl_s)),
            size_limit,
        )
        self._notify = notify
        self._place = f"{server.prefix}:answers:of:"
        self._keys = answers_keys(server.prefix)
        # Mutable: whether the server failed; tokens of claims that stand, by key; the
        # task that renews them.
        self._off = False
        self._numbers = count()
        self._claims: dict[str, str] = {}
        self._renewing: asyncio.Task[None] | None = None

    async def get(self, key: str) -> bytes | None:
        """The answer under *key*."""
        (found,) = await self.get_many([key])
        return found

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The answers under *keys*, a round trip for each two hundred."""
        found: list[bytes | None] = []
        for at in range(0, len(keys), _KEYS_AT_ONCE):
            group = keys[at : at + _KEYS_AT_ONCE]
            answers = await self._ask("get", *group)
            # A missing one comes as None.
            found += answers if answers is not None else [None] * len(group)
        return found

    async def put_many(self, entries: Mapping[str, bytes]) -> None:
        """Store *entries*."""
        group: list[Value] = []
        size = 0
        for key, answer in entries.items():
            group += [key, answer]
            size += len(answer)
            if size >= _BYTES_AT_ONCE:
                await self._ask("put", *self._limits, *group)
                group, size = [], 0
        if group:
            await self._ask("put", *self._limits, *group)

    async def claim(self, key: str) -> bytes | None:
        """The answer that another host has given by now. None: this one asks, and
        `release` follows, whatever comes of it.
        """
        token = f"{self._server.client}.{next(self._numbers)}"
        self._claims[key] = token
        try:
            verdict = await self._ask("claim", token, _CLAIM_S, key)
            if verdict is not None and verdict[0] == b"wait":
                with self._server.waits.for_answers():
                    verdict = await self._waited_for(token, key)
            if verdict is None or verdict[0] == b"yours":
                self._renewing = self._renewing or asyncio.ensure_future(self._renew())
                return None
            del self._claims[key]
            return verdict[1]
        except BaseException:
            await self.release(key, None)
            raise

    async def _waited_for(self, token: str, key: str) -> list[bytes] | None:
        """What becomes of a claim that another host has."""
        while True:
            await self._server.sleep(_LOOK_AGAIN_S)
            verdict = await self._ask("claim", token, _CLAIM_S, key)
            if verdict is None or verdict[0] != b"wait":
                return verdict

    async def release(self, key: str, answer: bytes | None) -> None:
        """This host asks no more: *answer* is for all; None: another one may ask."""
        token = self._claims.pop(key)
        await self._ask("release", token, key, *self._limits, answer or b"")

    async def close(self) -> None:
        """Renew nothing any more."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait([self._renewing])

    async def _renew(self) -> None:
        while True:
            # A future that nobody fulfils: only the time passes.
            await asyncio.wait(
                [asyncio.get_running_loop().create_future()], timeout=_RENEWED_EVERY_S
            )
            if self._claims:
                pairs = [part for key, token in self._claims.items() for part in (token, key)]
                await self._ask("renew", _CLAIM_S, *pairs)

    async def _ask(self, job: str, *values: Value) -> list[bytes] | None:
        """What the script answers; None once the cache is off."""
        if self._off:
            return None
        try:
            return await carried_out(
                self._server.run(_ANSWERS, self._keys, job, self._place, *values)
            )
        except (ServerAway, StopRun) as error:
            if not self._off:
                self._off = True
                self._notify(Notice("W129", f"the shared cache is off for this run: {error}"))
            return None


def answers_keys(prefix: str) -> list[str]:
    """The keys that the scripts of the answers are given, beside the answers."""
    return [f"{prefix}:answers:{part}" for part in ("ages", "sizes", "claims")]
