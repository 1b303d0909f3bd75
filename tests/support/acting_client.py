"""A client for senders of tests: its requests say what it is to do. Run as a program it
is a sender with nothing but this client, and starts in a moment.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from typing import Any

from claudebatch.clients.senders.frames import Welcome
from claudebatch.clients.senders.process_links import own_pipes
from claudebatch.clients.senders.sender_link import FrameLink
from claudebatch.clients.senders.sender_loop import SenderLoop
from claudebatch.core.domain import Call, Prompt, PromptTokens, Reply, Route, Size
from claudebatch.core.errors import AccountRefused, AttemptError, ConfigError, RateLimited
from claudebatch.core.limit_headers import LimitReading, Limits
from claudebatch.core.message import parse_message

LIMITS = Limits(requests=LimitReading(50, 7))
NO_ACCOUNT = AccountRefused("E703", "the API does not accept this account", fix="ask")


def told(do: str, *, row: int = 1, watch: Any = None, **more: Any) -> Call:
    """A call that has the client do something."""
    body = json.dumps({"do": do, **more}).encode()
    prompt = Prompt("a", {"speed": "fast"}, betas=("beta-1", "beta-2"))
    size = Size(10, 20, 30, 40)
    return Call(row, prompt, Route("m", "default"), "m", body, size, 60.0, watch=watch)


def answer(text: str) -> Reply:
    """Its answers."""
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 5, "cache_read_input_tokens": 2},
    }
    return parse_message(
        json.dumps(message).encode(), request_id="req_1", latency_ms=12, limits=LIMITS
    )


def refusal() -> RateLimited:
    """A 429 with every fact that one can have."""
    return RateLimited(
        "slow down",
        type="rate_limit_error",
        kind="concurrency",
        bare=False,
        status=429,
        request_id="req_2",
        retryable=True,
        retry_after=1.5,
        limits=LIMITS,
    )


class ActingClient:
    """Does what each request says; a count says how many were called off."""

    def __init__(self, welcome: Welcome | None = None) -> None:
        if welcome is not None and welcome.base_url == "refused":
            raise ConfigError("E219", "this key is none", fix="copy it again")
        self.called_off = 0
        self.closed = False

    async def __call__(self, call: Call) -> Reply:
        """Act."""
        wanted = json.loads(call.body)
        try:
            return await self._act(wanted["do"], wanted, call)
        except asyncio.CancelledError:
            self.called_off += 1
            raise

    async def _act(self, do: str, wanted: dict[str, Any], call: Call) -> Reply:
        if do == "show":
            return answer(f"{call.row} {call.model} {call.prompt.betas} {call.prompt.params}")
        if do == "grow":
            assert call.watch is not None
            call.watch.began(LIMITS)
            call.watch.read(PromptTokens(3, 0, 2))
            for size in (5, 6, 7):
                call.watch.showed(size)
            call.watch.hides()
            call.watch.showed(8)
        elif do == "wait":
            await asyncio.sleep(3600)
        elif do == "refuse":
            raise refusal()
        elif do == "reject":
            raise NO_ACCOUNT
        elif do == "unreached":
            raise AttemptError("no", type="connection_error", retryable=True, unavailable=True)
        elif do == "crash":
            raise KeyError("a bug")
        elif do == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif do == "long":
            return answer("x" * int(wanted["size"]))
        return answer(str(wanted.get("text", "")))

    async def count(self, call: Call) -> int | None:
        """How many requests were called off."""
        return self.called_off

    async def objection(self, call: Call) -> str | None:
        """One."""
        return "too long"

    async def close(self) -> None:
        """Nothing is left."""
        self.closed = True


async def act(link: FrameLink) -> None:
    """Be a sender with this client."""
    await SenderLoop(link, ActingClient).run()


async def _main() -> None:
    await act(await own_pipes())


if __name__ == "__main__":
    asyncio.run(_main())
