"""The cache as text and JSON, and columns that stay straight."""

from __future__ import annotations

from dataclasses import replace

from claudebatch.core.reports import CacheStats
from claudebatch.ui.tables.cache_tables import cache_json, render_cache
from claudebatch.ui.tables.table import cell_width, fitted, table


def test_the_cache_says_what_it_holds() -> None:
    stats = CacheStats("/home/me/.cache/claudebatch", 1234, 12_900_000, 2**31, 30 * 86400.0)
    assert render_cache(stats) == [
        "path     /home/me/.cache/claudebatch",
        "answers  1,234, kept for 30 d",
        "size     12.3 MiB of 2 GiB (0 %)",
    ]
    assert (
        render_cache(replace(stats, ttl_s=None))[1] == "answers  1,234, kept without a time limit"
    )
    assert cache_json(stats)["entries"] == 1234


def test_wide_and_hostile_labels_keep_the_columns_straight() -> None:
    lines = table("<>", ("x", "n"), [("日本語", "1"), ("\x1b[2J", "22"), ("e\u0301", "3")])
    assert {cell_width(line) for line in lines} == {len(r"\x1b[2J") + 4}
    assert r"\x1b[2J" in lines[2]


WIDE = [("a", "12", "folder/of/many/prompts.jsonl"), ("b", "3", "x.jsonl")]


def test_columns_go_in_their_order_and_of_the_first_that_is_shortened_the_end_stays() -> None:
    def drawn(width: int, *drop: str) -> list[str]:
        header = ("run", "n", "file")
        return fitted("<><", header, WIDE, width=width, drop=drop, shorten="file")

    order = ("file", "n", "file")
    assert drawn(0, *order) == drawn(80, *order) == table("<><", ("run", "n", "file"), WIDE)
    assert drawn(28, *order) == [
        "run   n  file",
        "a    12  …many/prompts.jsonl",
        "b     3  x.jsonl",
    ]
    assert drawn(23, *order) == ["run  file", "a    …any/prompts.jsonl", "b    x.jsonl"]
    assert drawn(10, *order) == ["run", "a", "b"]
    assert drawn(33, "n") == ["run  file", "a    folder/of/many/prompts.jsonl", "b    x.jsonl"]
