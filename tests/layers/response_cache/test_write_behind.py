"""The cache never holds an answer that the journal lacks, and nobody notices the wait."""

from __future__ import annotations

from collections.abc import Callable

from claudebatch.layers.response_cache.write_behind import WriteBehind


class Shelf:
    """A cache in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    async def get(self, key: str) -> bytes | None:
        return self.kept.get(key)

    def put(self, key: str, value: bytes) -> None:
        self.kept[key] = value


async def test_an_answer_is_kept_after_the_journal_has_it_and_found_before():
    shelf, later = Shelf(), list[Callable[[], None]]()
    cache = WriteBehind(shelf, after=later.append)
    cache.put("a", b"1")
    assert (await cache.get("a"), shelf.kept) == (b"1", {})
    later.pop()()
    assert (await cache.get("a"), shelf.kept) == (b"1", {"a": b"1"})
    assert await cache.get("b") is None


async def test_of_two_answers_to_one_question_the_newer_is_kept():
    shelf, later = Shelf(), list[Callable[[], None]]()
    cache = WriteBehind(shelf, after=later.append)
    cache.put("a", b"1")
    cache.put("a", b"2")
    for then in later:
        then()
    assert shelf.kept == {"a": b"2"}
