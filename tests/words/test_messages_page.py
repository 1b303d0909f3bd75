"""Each message has an id of its own, and each id stands on its page."""

from __future__ import annotations

import re
from collections import Counter

from tests.words.page import PAGE, page
from tests.words.sites import ROOT, sites, unnamed

SEVERAL = {
    "E432": "a value of the wrong kind, found by a check of ours or by the SDK's types",
    "E457": "a word that is none of those allowed, of one member or of a whole object",
}
"""Ids that stand at several places, since they are the same message."""


def test_no_message_is_without_an_id():
    assert unnamed() == []


def test_an_id_stands_for_one_message():
    counts = Counter(site.id for site in sites())
    assert {name for name, count in counts.items() if count > 1} == SEVERAL.keys()


def test_the_page_of_messages_is_up_to_date():
    assert PAGE.read_text() == page(), "python -m tests.words.page writes it"


def test_ids_in_the_other_pages_exist():
    known = {site.id for site in sites()}
    named = {
        name
        for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
        for name in re.findall(r"\b(?:E|W|N)\d{3}\b", path.read_text())
    }
    assert named <= known
