"""How long it takes to look into a response cache of a million entries, and what its
notes cost the answers that are put and found.

    python benchmarks/cache.py [--entries 1000000]

The cache is filled as a run fills it, by the store's own writer. Each command is a
process of its own: its time less that of `cache path`, which only starts, is the look.
The cost of notes is CPU of the store's work in this process, with and without them.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path

from harness import Used, claudebatch, lean_server, run_and_measure

from claudebatch.core.domain import Call, Prompt, Route, Size
from claudebatch.core.jsonl import decode, encode
from claudebatch.core.message import parse_message
from claudebatch.layers.response_cache.about_tables import AboutWriter, prepare
from claudebatch.layers.response_cache.disk_store import (
    DATABASE,
    DiskCacheStore,
    open_database,
)
from claudebatch.layers.response_cache.layer import cache_key
from claudebatch.layers.response_cache.request_notes import RequestNotes
from claudebatch.layers.response_cache.sound_value import sealed

MODELS = ("claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5")
WORDS = "Classify the sentiment of this review as positive, negative or mixed: "
AT_ONCE = 5000
CENT = 10**10
PUTS = 6000


def call_of(number: int) -> Call:
    """A request of some 300 bytes, unlike all others."""
    model = MODELS[number % 3]
    text = f"{WORDS}number {number} came late, was {'good' if number % 2 else 'bad'}, and I kept it"
    params = {"max_tokens": 1000, "messages": [{"role": "user", "content": text}]}
    prompt = Prompt(f"row-{number}", params, file="reviews.jsonl", line=number)
    body = encode({**params, "model": model, "system": "Answer in one word."})
    return Call(number, prompt, Route(model, "default"), model, body, Size(60, 90, 5, 1000))


REPLY = parse_message(
    encode(
        {
            "type": "message",
            "model": MODELS[0],
            "content": [{"type": "text", "text": "Positive, on the whole, I would say. " * 20}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 60, "output_tokens": 5},
        }
    ),
    source="cache",
)


def key_of(call: Call, scope: str = "benchmark") -> str:
    """The key of *call* at the API's own address."""
    return cache_key(call, scope=scope, encode=encode, decode=decode)


def notes_of() -> RequestNotes:
    """Notes of a run in which each answer is worth a cent."""
    return RequestNotes(run="20261130T000000-bench", worth=lambda model, usage: CENT)


def fill(folder: Path, entries: int) -> None:
    """Fill the cache in *folder*; some entries are found several times."""
    notes = notes_of()
    with (
        closing(open_database(folder, 2**40)) as cache,
        closing(sqlite3.connect(folder / DATABASE, isolation_level=None)) as connection,
    ):
        connection.execute("PRAGMA synchronous=OFF")
        prepare(connection)
        writer = AboutWriter(connection, notes)
        for start in range(0, entries, AT_ONCE):
            calls = [call_of(number) for number in range(start, min(start + AT_ONCE, entries))]
            with cache.transact():
                for call in calls:
                    key = key_of(call)
                    cache.set(key, sealed(key, REPLY.message), expire=30 * 86400.0)
                    notes.answered(key, call, REPLY)
                    writer.put(key, len(REPLY.message))
            writer.write()
        connection.execute("UPDATE About SET hits = entry % 7, found = stored")


def looks(folder: Path, env: dict[str, str], entries: int) -> dict[str, Used]:
    """The time of each command, the better of two."""
    asked = folder / "reviews.jsonl"
    edited = call_of(entries // 2).prompt.params["messages"][0]["content"].replace("late", "early")
    asked.write_bytes(encode({"id": f"row-{entries // 2}", "prompt": edited}) + b"\n")
    key = key_of(call_of(entries // 3))
    commands = {
        "path (starts only)": ("path",),
        "ls": ("ls",),
        "ls --sort saved": ("ls", "--sort", "saved"),
        "ls --text, --model, --older-than": ("ls", *("--text", "came"), *("-m", "opus")),
        "show KEY": ("show", key[:12]),
        "show ID": ("show", f"row-{entries // 3}"),
        "stats": ("stats",),
        "why FILE:LINE, edited": ("why", f"{asked}:1", "-s", "Answer in one word.", "-m", "haiku"),
    }
    found = {}
    for name, command in commands.items():
        runs = [run_and_measure(claudebatch("cache", *command), env) for _ in range(2)]
        found[name] = min(runs, key=lambda used: used.cpu_s)
    return found


async def puts_and_gets(folder: Path, *, noted: bool) -> tuple[float, float]:
    """CPU microseconds of one put and of one look-up that finds."""
    calls = [call_of(number) for number in range(PUTS)]
    keys, notes = [key_of(call) for call in calls], notes_of() if noted else None
    store = DiskCacheStore(
        folder, size_limit=2**40, ttl_s=86400.0, notify=lambda notice: None, notes=notes
    )
    await store.get("none")
    began = time.process_time()
    for number, (key, call) in enumerate(zip(keys, calls, strict=True)):
        if notes is not None:
            notes.answered(key, call, REPLY)
        await store.put_many({key: REPLY.message})
        if number % 64 == 63:
            await store.get("none")
    await store.get("none")
    put = time.process_time() - began
    began = time.process_time()
    for start in range(0, PUTS, 1000):
        await store.get_many(keys[start : start + 1000])
    await store.close()
    return put / PUTS * 1e6, (time.process_time() - began) / PUTS * 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, lean_server(Path(name)) as env:
        # Of each, the least of three: others use the machine, too.
        for noted in (False, True):
            runs = [
                asyncio.run(puts_and_gets(Path(name) / f"few-{noted}-{turn}", noted=noted))
                for turn in range(3)
            ]
            put, get = min(run[0] for run in runs), min(run[1] for run in runs)
            print(f"{'with' if noted else 'without'} notes: put {put:.1f} µs, found {get:.1f} µs")
        folder = Path(name) / "cache" / "responses"
        folder.mkdir(parents=True, mode=0o700)
        began = time.perf_counter()
        fill(folder, wanted.entries)
        size = (folder / DATABASE).stat().st_size / 2**20
        print(
            f"{wanted.entries:,} entries, {size:,.0f} MiB, filled in "
            f"{time.perf_counter() - began:.0f} s"
        )
        found = looks(Path(name), env, wanted.entries)
    start = found["path (starts only)"]
    for command, used in found.items():
        print(
            f"{command:<34}{used.wall_s:6.2f} s wall, {used.cpu_s:5.2f} s CPU "
            f"({max(0.0, used.cpu_s - start.cpu_s):.2f} s to look), peak {used.peak_mb:.0f} MB"
        )


if __name__ == "__main__":
    main()
