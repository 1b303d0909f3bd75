"""Every message as it stands on a terminal of 80 columns."""

from __future__ import annotations

import re

import pytest

from tests.words.screens import SCREENS, entry, kept
from tests.words.sites import ROOT, sites
from tests.words.stage import cases
from tests.words.unprovoked import ELSEWHERE

CASES = {case.name: case for case in cases()}


@pytest.mark.parametrize("name", CASES)
def test_a_screen_is_as_it_was(name):
    assert entry(CASES[name]) == kept()[name], "python -m tests.words.screens writes all anew"


def test_the_file_has_the_cases_and_no_others():
    assert list(kept()) == [case.name for case in cases()], "each with a name of its own"


def test_no_line_is_longer_than_the_terminal_but_what_must_not_be_broken():
    long = [
        line
        for line in SCREENS.read_text().splitlines()
        # The command of the case, commands to copy, and single words.
        if len(line) > 80 and not line.startswith(("$ ", "    ")) and " " in line.strip()
    ]
    assert long == []


def test_every_message_is_on_a_screen_or_covered_by_a_test_that_is_named():
    shown = set(re.findall(r"\b[EWN]\d{3}\b", SCREENS.read_text()))
    everything = {site.id for site in sites()}
    assert everything - shown == ELSEWHERE.keys()
    for place in set(ELSEWHERE.values()):
        file, _, name = place.partition("::")
        assert re.search(rf"^\s*(async )?def {name}\b", (ROOT / file).read_text(), re.M), place
