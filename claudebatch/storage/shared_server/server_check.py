"""What a look at the shared server finds, before a run depends on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from claudebatch.storage.shared_server.redis_connection import connected
from claudebatch.storage.shared_server.rights import rights
from claudebatch.storage.shared_server.settings import SharedSettings

# The first question opens the connection: what the others take is what a run pays.
_QUESTIONS = 5
_MAY = """local found = {}
for i = 1, #ARGV do
  local words = {}
  for word in string.gmatch(ARGV[i], '%S+') do
    words[#words + 1] = word
  end
  if redis.acl_check_cmd and not redis.acl_check_cmd(unpack(words)) then
    found[#found + 1] = words[1]
  end
end
return found"""
_WRITE = "redis.call('SET', KEYS[1], '1', 'EX', 1) redis.call('DEL', KEYS[1]) return {}"


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """The facts; None: nobody may know them."""

    error: str | None = None
    """Why there are no others."""
    refused: bool = False
    """That is because of its user or password."""
    answer_s: float = 0.0
    """A round trip, the middle one of several."""
    skew_s: float = 0.0
    """By how much this machine's clock is ahead of the server's."""
    info: Mapping[str, str] | None = None
    """As the server describes itself."""
    missing: tuple[str, ...] = ()
    """Commands that this user lacks."""
    unwritable: str | None = None
    """Why nothing can be stored."""

    @property
    def usable(self) -> bool:
        """Whether scripts of runs would do there what they are to do."""
        return self.error is None and not self.missing and self.unwritable is None


async def look_at(
    settings: SharedSettings,
    *,
    prefix: str,
    now: Callable[[], float],
    wall: Callable[[], float],
) -> ServerFacts:
    """The facts of the server; *wall* in Unix seconds. Stores one key under *prefix*
    and removes it. Raises `ConfigError` without the package.
    """
    errors, redis = connected(settings)
    refusals = (errors.AuthenticationError, errors.AuthorizationError, errors.NoPermissionError)
    try:
        return await _seen(redis, errors, prefix, now=now, wall=wall)
    except refusals as error:
        return ServerFacts(error=str(error), refused=True)
    except (errors.RedisError, OSError) as error:
        words = str(error)
        refused = words.startswith(("WRONGPASS", "NOAUTH", "NOPERM"))
        return ServerFacts(error=words, refused=refused)
    finally:
        await redis.aclose()


async def _seen(
    redis: Any,
    errors: Any,
    prefix: str,
    *,
    now: Callable[[], float],
    wall: Callable[[], float],
) -> ServerFacts:
    took = []
    for _ in range(_QUESTIONS):
        began = now()
        seconds, micros = await redis.time()
        took.append(now() - began)
    skew_s = wall() - took[-1] / 2 - (seconds + micros / 1e6)
    info: dict[str, str] | None
    try:
        info = {name: str(value) for name, value in (await redis.info()).items()}
    except errors.NoPermissionError:
        info = None
    key = f"{prefix}:doctor"
    missing = await redis.eval(_MAY, 1, key, *rights(key))
    unwritable = None
    if not missing:
        try:
            await redis.eval(_WRITE, 1, key)
        except errors.RedisError as error:
            unwritable = str(error)
    return ServerFacts(
        answer_s=sorted(took[1:])[len(took[1:]) // 2],
        skew_s=skew_s,
        info=info,
        missing=tuple(word.decode() for word in missing),
        unwritable=unwritable,
    )
