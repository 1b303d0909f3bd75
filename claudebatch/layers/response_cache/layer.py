"""No answer is paid for twice: known answers come from the store, equal requests in
flight share one.

Above limiter and budget: a hit is free and immediate. Below the fallback: the key holds
the model that answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from claudebatch.core.domain import Call, Prompt, Reply
from claudebatch.core.errors import Draining
from claudebatch.core.handler import Handler
from claudebatch.layers.response_cache.request_notes import RequestNotes
from claudebatch.layers.response_cache.settings import CachePolicy
from claudebatch.layers.response_cache.store import CacheStore, Claims

# Raised by one whenever the meaning of a key or of a stored value changes: old entries
# are then simply missed.
KEY_VERSION = 1
# Fields of a request that do not change its answer: who asks, how fast, and over which
# transport.
NOT_IN_KEY = frozenset({"metadata", "service_tier", "stream"})


def cache_key(
    call: Call, *, scope: str, encode: Callable[[Any], bytes], decode: Callable[[bytes], Any]
) -> str:
    """The digest of everything about *call* that changes its answer, its model
    included.
    """
    return prompt_key(call.prompt, call.body, scope=scope, encode=encode, decode=decode)


def prompt_key(
    prompt: Prompt,
    body: bytes,
    *,
    scope: str,
    encode: Callable[[Any], bytes],
    decode: Callable[[bytes], Any],
) -> str:
    """The same of *prompt*, asked as *body*: canonical JSON (sorted keys, no spaces)
    that holds the model, so equal requests have equal bytes.
    """
    if not NOT_IN_KEY.isdisjoint(prompt.params):
        # From the body, not from the prompt: a hop of the fallback chain may have had
        # to say it differently.
        body = encode(
            {name: value for name, value in decode(body).items() if name not in NOT_IN_KEY}
        )
    return request_key(body, scope=scope, betas=prompt.betas, repeat=prompt.repeat)


def request_key(body: bytes, *, scope: str, betas: Sequence[str], repeat: int) -> str:
    """The same of a *body* without the fields that change no answer."""
    if betas:
        # A header, so no part of the body; the order of several means nothing.
        scope = f"{scope} {','.join(sorted(betas))}"
    if repeat:
        # Not of the first: its key is that of a row with one answer.
        scope = f"{scope} #{repeat}"
    return hashlib.sha256(b"%d\n%b\n%b" % (KEY_VERSION, scope.encode(), body)).hexdigest()


class ResponseCache:
    """Answers from the store, or asks once and lets everybody with the same key share
    the reply.

    store          None: nothing is looked up or kept
    share          whether equal requests in flight share one answer
    fits           whether a stored reply is of the form that a call wants
    notes          told what was asked, for the commands that look into the cache
    claims         of all hosts, for a store that they share
    """

    def __init__(
        self,
        *,
        key: Callable[[Call], str],
        store: CacheStore | None,
        parse: Callable[[bytes], Reply],
        policy: CachePolicy,
        share: bool = True,
        fits: Callable[[Call, Reply], bool] = lambda call, reply: True,
        notes: RequestNotes | None = None,
        claims: Claims | None = None,
    ) -> None:
        self._key = key
        self._store = store
        self._parse = parse
        self._policy = policy
        self._share = share
        self._fits = fits
        self._notes = notes
        self._claims = claims
        # Mutable: requests in flight by key, changed by `_ask` only.
        self._in_flight: dict[str, asyncio.Future[Reply]] = {}

    async def __call__(self, call: Call, call_next: Handler) -> Reply:
        """A reply from the store, a shared or a new one."""
        if not self._share:
            return await call_next(call)
        key = self._key(call)
        while True:
            leader = self._in_flight.get(key)
            if leader is None:
                return await self._ask(key, call, call_next)
            try:
                # Shielded: a follower that is called off must not take the request away
                # from the others.
                shared = await asyncio.shield(leader)
            except asyncio.CancelledError:
                if not leader.cancelled() or _called_off():
                    raise
                continue  # the leader was called off, not this follower: the next one leads
            return replace(shared, source="duplicate", cost=0, cost_known=True, attempts=0)

    async def _ask(self, key: str, call: Call, call_next: Handler) -> Reply:
        led: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._in_flight[key] = led
        try:
            reply = await self._stored_or_new(key, call, call_next)
        except BaseException as error:
            _fail(led, error)
            raise
        finally:
            del self._in_flight[key]
        led.set_result(reply)
        return reply

    async def _stored_or_new(self, key: str, call: Call, call_next: Handler) -> Reply:
        if self._store is not None:
            kept = self._kept(call, await self._store.get(key))
            if kept is not None:
                return kept
        if self._claims is None:
            return await self._new(key, call, call_next)
        return await self._claimed_or_new(self._claims, key, call, call_next)

    def _kept(self, call: Call, stored: bytes | None) -> Reply | None:
        if stored is not None:
            # Bytes that are no message are a miss.
            with contextlib.suppress(ValueError):
                kept = self._parse(stored)
                # Kept by a program that did not look.
                if self._fits(call, kept):
                    return kept
        return None

    async def _claimed_or_new(
        self, claims: Claims, key: str, call: Call, call_next: Handler
    ) -> Reply:
        """The answer of the host that asks, or a new one that others may wait for."""
        given = await claims.claim(key)
        if given is not None:
            kept = self._kept(call, given)
            # What does not fit here fits the host that gave it: each asks for its own.
            return kept or await self._new(key, call, call_next)
        answer: bytes | None = None
        try:
            reply = await self._new(key, call, call_next)
            if not self._policy.unkept(reply):
                answer = reply.message
        finally:
            # Also after a failure: the next host asks at once, not when the claim ends.
            await claims.release(key, answer)
        return reply

    async def _new(self, key: str, call: Call, call_next: Handler) -> Reply:
        reply = await call_next(call)
        if self._store is not None:
            unkept = self._policy.unkept(reply)
            if self._notes is not None:
                self._notes.answered(key, call, reply, unkept=unkept)
            if not unkept:
                await self._store.put_many({key: reply.message})
        return reply


def _called_off() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _fail(led: asyncio.Future[Reply], error: BaseException) -> None:
    if isinstance(error, Exception) and not isinstance(error, Draining):
        led.set_exception(error)
        # Nobody may be waiting: then it is not "never retrieved".
        led.exception()
    else:
        # Only this request was called off: the next follower asks instead.
        led.cancel()
