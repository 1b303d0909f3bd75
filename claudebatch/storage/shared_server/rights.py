"""What a user of the shared server has to be allowed, and nothing else."""

from __future__ import annotations

# Each command as a script would say it, for a key and without it.
_OF_KEYS = (
    "hgetall {}",
    "hget {} f",
    "hset {} f v",
    "hdel {} f",
    "hexists {} f",
    "hincrby {} f 1",
    "hkeys {}",
    "hscan {} 0",
    "expire {} 1",
    "get {}",
    "set {} v",
    "del {}",
    "exists {}",
    "zadd {} 1 m",
    "zrem {} m",
    "zcard {}",
    "zscore {} m",
    "zrange {} 0 1",
    "zrangebyscore {} 0 1",
)
_OTHERS = ("time", "info")


def rights(key: str) -> list[str]:
    """The commands that scripts run, as they would for *key*."""
    return [*(words.format(key) for words in _OF_KEYS), *_OTHERS]
