"""The answers at the shared server, counted."""

from __future__ import annotations

from pathlib import Path

from claudebatch.core.reports.shared_state import SharedAnswers
from claudebatch.layers.response_cache.redis_store import answers_keys
from claudebatch.storage.shared_server.redis_server import ScriptServer
from claudebatch.storage.shared_server.script import Script

_COUNT = Script.read(Path(__file__).with_name("lua"), "answers_look.lua")


async def shared_answers(server: ScriptServer) -> SharedAnswers:
    """How many there are. Raises as the server does."""
    counts = await server.run(_COUNT, answers_keys(server.prefix))
    return SharedAnswers(*map(int, counts))
