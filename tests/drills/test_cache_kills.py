"""The drill over killed work on the response cache, in its short form."""

from __future__ import annotations

from tests.drills import cache_kills


def test_a_prune_an_import_and_a_repair_that_are_killed_leave_a_whole_cache():
    found = cache_kills.drill(every=60)
    assert min(found.values()) >= 1, found
