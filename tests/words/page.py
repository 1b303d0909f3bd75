"""docs/messages.md, made from the package's source.

    python -m tests.words.page

writes the page; `test_messages_page.py` says where it is out of date.
"""

from __future__ import annotations

import textwrap

from tests.words.sites import ROOT, Site, sites

PAGE = ROOT / "docs" / "messages.md"
_HEAD = """\
# The messages and their ids

Each error, warning and note of claudebatch has an id that stays the same while its
words may change: search an issue tracker or this page for it. `E` is an error, `W` a
warning, `N` a note. An id is never used again for another message. On the screen:

```text
error[E218]: no API key: ANTHROPIC_API_KEY is not set
reviews.jsonl:17: E334 unknown field "product": remove it (--drop product)
warning[W010]: reviews.jsonl has no rows: there is nothing to send
```

In `--json` events and in the `--log` a `notice` has the `id`, and what stopped a run is
the `stop_id` of the last event ([json-events.md](json-events.md), [log.md](log.md)).

This page is made from the source (`python -m tests.words.page`). `…` stands for what
the message fills in: names, numbers, reasons of the system.
"""
_ROOMS = {
    "E0": "Command line",
    "E1": "Configuration and rules",
    "E2": "Key, address and network",
    "E3": "Input files and lines",
    "E4": "What the API and the models take",
    "E6": "Runs, results and what claudebatch keeps",
    "E7": "What stops a run",
    "E8": "The response cache, looked into; deadlines",
    "E9": "Simulator",
    "N": "Notes",
    "W": "Warnings",
}
# The option parser has the words of these.
_PARSER = {
    "E001": "the command line cannot be read",
    "E002": "there is no such option",
    "E003": "an argument or option is missing",
    "E004": "a value cannot be used",
    "E005": "an option lacks its value, or has one that it does not take",
}


def page() -> str:
    """The whole page."""
    lines = [_HEAD]
    room = ""
    for name, found in _by_id().items():
        # Notes and warnings have no rooms: only errors are many.
        if (its := name[:2] if name[0] == "E" else name[0]) != room:
            room = its
            lines.append(f"\n## {_ROOMS[room]}\n\n| id | message | what helps |\n|---|---|---|\n")
        text = _PARSER.get(name) or found[0].text
        lines.append(f"| {name} | {_cell(text)} | {_cell(found[0].fix)} |\n")
    return "".join(lines)


def _by_id() -> dict[str, list[Site]]:
    found: dict[str, list[Site]] = {}
    for site in sites():
        found.setdefault(site.id, []).append(site)
    return found


def _cell(text: str) -> str:
    """*text* in one cell of a table, not as markup."""
    short = textwrap.shorten(" ".join(text.split()), 300, placeholder=" …")
    for sign in "\\|<>*_[]`":
        short = short.replace(sign, f"\\{sign}")
    return short


if __name__ == "__main__":
    PAGE.write_text(page())
