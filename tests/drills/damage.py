"""Ways to ruin a file of the response cache."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

WAYS = (
    "a flipped bit",
    "fifty flipped bits",
    "cut off",
    "empty",
    "no database",
    "its log ruined",
    "gone",
)


@dataclass(frozen=True)
class Damage:
    """One way, and the chance that goes with it."""

    way: str
    seed: int

    def __str__(self) -> str:
        return f"cache: {self.way} ({self.seed})"


def damages(rng: random.Random, rounds: int) -> Iterator[Damage]:
    """Every way, *rounds* times with other bytes."""
    for _ in range(rounds):
        for way in WAYS:
            yield Damage(way, rng.randrange(2**32))


def ruin(folder: Path, damage: Damage) -> None:
    """Do it to the cache in *folder*."""
    rng, file = random.Random(damage.seed), folder / "cache.db"
    data = bytearray(file.read_bytes())
    match damage.way:
        case "a flipped bit":
            _flip(data, rng, 1)
        case "fifty flipped bits":
            _flip(data, rng, 50)
        case "cut off":
            del data[rng.randrange(len(data)) :]
        case "empty":
            data.clear()
        case "no database":
            data[:] = rng.randbytes(len(data))
        case "its log ruined":
            (folder / "cache.db-wal").write_bytes(rng.randbytes(40_000))
        case "gone":
            file.unlink()
            return
    file.write_bytes(data)


def _flip(data: bytearray, rng: random.Random, times: int) -> None:
    for _ in range(times):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
