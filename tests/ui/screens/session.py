"""The first ten commands of a new user, and the page that shows them."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

from tests.ui.screens.typed import typist

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/first-session.md"
# The API refuses it, whenever it is asked.
REFUSED = {"id": "book", "prompt": "Sum up the book below. [[simulate: error 413]]"}
STEPS = (
    ("What do the models cost?", "claudebatch models"),
    (
        "Try it without a key and without cost. One of the 25 prompts is refused, as it will "
        "be by the API.",
        "claudebatch run prompts.jsonl --simulate",
    ),
    ("What will the real run cost? Nothing is sent.", "claudebatch estimate prompts.jsonl"),
    ("And with a cap?", "claudebatch estimate prompts.jsonl --budget 0.25"),
    ("The real run.", "claudebatch run prompts.jsonl --budget 0.25"),
    ("The same command again sends nothing.", "claudebatch run prompts.jsonl --budget 0.25"),
    (
        "Ask the failed row again. It is refused for what it is, so the last line says how to "
        "read why.",
        "claudebatch run prompts.jsonl --budget 0.25 --retry-failed",
    ),
    ("What was spent?", "claudebatch spend"),
    ("Which runs were there?", "claudebatch runs list"),
    ("What is in the cache?", "claudebatch cache stats"),
)
# What differs between any two sessions, and what stands for it.
_VARIES = (
    (r"\b20\d{6}T\d{6}-[0-9a-f]{6}\b", "20261122T120000-a1b2c3"),
    (r"\b20\d{6}T\d{6}\b", "20261122T120000"),
    (r"p50 [\d.]+ m?s, p95 [\d.]+ m?s · [\d.]+ s in all", "p50 12 ms, p95 140 ms · 2.5 s in all"),
    (r"(requests  \d+) · [\d.]+ s in all", r"\1 · 0.5 s in all"),
    (r"\d+ KiB of 2 GiB", "72 KiB of 2 GiB"),
)
_HEAD = """# A first session

Ten commands at a terminal of 80 columns, as a new user might type them, with what they
print. `prompts.jsonl` holds the 24 prompts of `sample_inputs/prompts.jsonl` and one
that the API refuses. This page is written by `python -m tests.ui.screens`, and a test
compares it: what differs from session to session (names of runs, milliseconds, the
size of the cache) is always shown the same. An API on the same machine stood in for
the real one.
"""


def steady(text: str) -> str:
    """*text* as it looks in every session."""
    for pattern, instead in _VARIES:
        text = re.sub(pattern, instead, text)
    return text


def recorded() -> list[tuple[str, int, str]]:
    """Each command of the session, its exit code and what it printed."""
    found = []
    with tempfile.TemporaryDirectory() as folder, typist(Path(folder)) as user:
        prompts = (ROOT / "sample_inputs/prompts.jsonl").read_text()
        (user.work / "prompts.jsonl").write_text(prompts + json.dumps(REFUSED) + "\n")
        for _, command in STEPS:
            said = user.types(command)
            found.append((command, user.code, steady(said)))
    return found


def page(session: list[tuple[str, int, str]]) -> str:
    """The page that shows *session*."""
    parts = [_HEAD]
    for (why, _), (command, code, said) in zip(STEPS, session, strict=True):
        ended = f"$ echo $?\n{code}\n" if code else ""
        parts.append(f"\n{_filled(why)}\n\n```console\n$ {command}\n{said}{ended}```\n")
    return "".join(parts)


def _filled(text: str) -> str:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + 1 + len(word) > 88:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
