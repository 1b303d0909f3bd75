"""What a row writes and reads, on average over those that share its beginnings."""

from __future__ import annotations

import pytest

from claudebatch.core.domain import Usage
from claudebatch.estimate.cached_share import KeptBeginning, share_of, with_cache
from claudebatch.estimate.forecast import ExpectedTokens
from claudebatch.estimate.request_shape import CachedShare


@pytest.mark.parametrize(
    ("kept", "written_5m", "written_1h", "read"),
    [
        # Of 20 rows each writes a twentieth, and reads the rest.
        ([KeptBeginning(1_000, 300, 20)], 50, 0, 950),
        ([KeptBeginning(1_000, 3600, 4)], 0, 250, 750),
        # 80 rows of one system prompt, 20 of each document.
        ([KeptBeginning(400, 300, 80), KeptBeginning(1_000, 300, 20)], 5 + 30, 0, 965),
        ([KeptBeginning(400, 3600, 80), KeptBeginning(1_000, 300, 20)], 30, 5, 965),
        # A mark of the row's own that nobody shares is written and never read.
        ([KeptBeginning(1_000, 300, 1)], 1_000, 0, 0),
    ],
)
def test_what_is_new_in_a_beginning_is_written_once_for_all_of_its_rows(
    kept, written_5m, written_1h, read
):
    share = share_of(kept, 2_000)
    assert share is not None
    assert [round(part * 2_000, 6) for part in share] == [written_5m, written_1h, read]


def test_where_nothing_is_kept_there_is_no_share():
    assert share_of([], 2_000) is None


def test_a_beginning_is_no_more_than_the_request():
    share = share_of([KeptBeginning(3_000, 300, 2)], 2_000)
    assert share is not None
    assert sum(share) == 1


@pytest.mark.parametrize("read", [True, False])
def test_tokens_are_split_and_none_is_lost(read):
    before = ExpectedTokens(Usage(input_tokens=1_001, inference_geo="us", speed="fast"), 7.5, 2.0)
    found = with_cache(before, CachedShare(0.1, 0.2, 0.6), read=read)
    usage = found.usage
    assert (usage.ephemeral_5m_input_tokens, usage.ephemeral_1h_input_tokens) == (100, 200)
    assert usage.cache_read_input_tokens == (601 if read else 0)
    assert (usage.total_input, usage.inference_geo, usage.speed) == (1_001, "us", "fast")
    assert (found.output_tokens, found.web_searches) == (7.5, 2.0)
