"""Only one or two wrong letters are a misspelling."""

from __future__ import annotations

import random

import pytest

from claudebatch.core.typos import meant, wrong_letters

KNOWN = ("prompt", "messages", "question", "text", "tags", "model", "max_tokens", "stop_sequences")


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("promt", "prompt"),
        ("modle", "model"),
        ("Prompt", "prompt"),
        (" prompt", "prompt"),
        ("TEXT", "text"),
        ("maxTokens", "max_tokens"),
        ("max_token", "max_tokens"),
        ("mesages", "messages"),
        ("texts", "text"),
    ],
)
def test_a_misspelt_name_is_known(name, known):
    assert meant(name, KNOWN) == known


@pytest.mark.parametrize(
    "name",
    [
        *("product", "request", "image", "test", "kwargs", "query", "txt", "tag", "review"),
        *("", "x" * 1000, "system_prompt"),
    ],
)
def test_a_name_of_its_own_is_no_misspelling(name):
    assert meant(name, KNOWN) is None


def test_letters_are_counted_as_changed_added_removed_or_swapped():
    assert wrong_letters("", "abc") == 3
    assert wrong_letters("abc", "abc") == 0
    assert wrong_letters("abc", "acb") == 1
    assert wrong_letters("abcd", "bcd") == 1
    assert wrong_letters("kitten", "sitting") == 3


def test_one_edit_of_any_kind_is_one_wrong_letter():
    rng = random.Random(15)
    for _ in range(500):
        name = "".join(rng.choices("abcdef", k=rng.randint(2, 12)))
        at = rng.randrange(len(name) - 1)
        edits = {
            name[:at] + "z" + name[at + 1 :],
            name[:at] + "z" + name[at:],
            name[:at] + name[at + 1 :],
            name[:at] + name[at + 1] + name[at] + name[at + 2 :],
        } - {name}
        assert {wrong_letters(name, edit) for edit in edits} == {1}
        assert {wrong_letters(edit, name) for edit in edits} == {1}
