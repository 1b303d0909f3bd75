"""What a machine's ledger knows of money and the shared server does not: a server that
has lost its memory hears of it with the machine's next run, or through a command.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from claudebatch.core.reports.shared_money import UntoldSpend
from claudebatch.layers.budget.redis_budget import caps_keys
from claudebatch.storage.ledger.known_spend import KnownSpend
from claudebatch.storage.shared_server.redis_server import ScriptServer, Value
from claudebatch.storage.shared_server.script import Script
from claudebatch.storage.shared_server.times import SILENT_S

_UNTOLD = Script.read(Path(__file__).with_name("lua"), "caps.lua", "untold.lua")
# One script holds up all others at the server.
_MOST_AT_ONCE = 200


async def untold(
    server: ScriptServer, known: Sequence[KnownSpend], *, tell: bool = False
) -> list[UntoldSpend]:
    """By how much *known* sums are higher than the server's; *tell* it. Those of runs
    that are alive are on their way. Raises as the server does.
    """
    found = []
    for at in range(0, len(known), _MOST_AT_ONCE):
        some = known[at : at + _MOST_AT_ONCE]
        sums: list[Value] = []
        for each in some:
            sums += [each.run, each.day, each.tag, str(each.amount)]
        lacking = await server.run(_UNTOLD, caps_keys(server.prefix), int(tell), SILENT_S, *sums)
        found += [
            UntoldSpend(each.run, each.day, int(amount))
            for each, amount in zip(some, lacking, strict=True)
            if int(amount)
        ]
    return found
