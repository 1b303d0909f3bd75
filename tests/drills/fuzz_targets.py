"""What the fuzz drill aims at. A target takes a case's chance and raises when a promise
is broken.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from claudebatch.config.load import load
from claudebatch.core.domain import Call
from claudebatch.core.errors import BadRow, ClaudebatchError, ExitCode
from claudebatch.core.jsonl import decode
from claudebatch.inputs import Defaults, parse_line
from claudebatch.layers.response_cache.blocking import blocking_look_up
from claudebatch.layers.response_cache.disk_store import DiskCacheStore
from claudebatch.setup.run_setup import RunSetup
from tests.drills.injected import Ended, command
from tests.support.mutate import mutated

WHEN = datetime(2026, 11, 22, tzinfo=UTC)
CODES = {int(code) for code in ExitCode} - {ExitCode.INTERNAL}
_REPOSITORY = Path(__file__).parents[2]
_PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
_HI = {"role": "user", "content": "hi"}
_MARKED = {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}
_IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": _PIXEL}}
_FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
_SEEDS = [
    {"prompt": "Say hi"},
    "just a string",
    {
        "id": "a-1",
        "prompt": "äöü€😀",
        "model": "claude-haiku-5-5",
        "max_tokens": 100,
        "tags": ["x"],
    },
    {"id": 7, "messages": [{"role": "user", "content": [_MARKED]}], "metadata": {"user_id": "u"}},
    {"custom_id": "c", "params": {"model": "claude-opus-5-5", "max_tokens": 9, "messages": [_HI]}},
    {
        "custom_id": "o",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {
            "messages": [{"role": "system", "content": "s"}, _HI],
            "tools": [_FUNCTION],
            "tool_choice": "auto",
        },
    },
    {"prompt": "p", "system": "s", "tools": [{"name": "f", "input_schema": {"type": "object"}}]},
    {"prompt": "p", "thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
    {"messages": [{"role": "user", "content": [_IMAGE, {"type": "text", "text": "what is it?"}]}]},
]
LINES = [json.dumps(seed, ensure_ascii=False).encode() for seed in _SEEDS]


class Target(Protocol):
    """One case against one part of the product."""

    def __call__(self, rng: random.Random) -> None:
        """Raise when the part breaks its promise."""
        ...


def run_setup(text: bool = False) -> RunSetup:
    """The parts of a run at their defaults."""
    settings = load(None, {}, env={}, folder=Path("/nonexistent")).settings
    lines = Defaults(max_tokens=settings.max_tokens, system=settings.system, text=text)
    return RunSetup.set_up(settings, override=None, at=WHEN, lines=lines)


@contextmanager
def lines(_: Path) -> Iterator[Target]:
    """An input line becomes a request of valid JSON, or a full list of what is wrong;
    nothing else.
    """
    setups = run_setup(), run_setup(text=True)

    def case(rng: random.Random) -> None:
        setup = setups[rng.random() < 0.1]
        data = mutated(rng.choice(LINES), rng)
        try:
            prompt = parse_line(data, setup.defaults, file="f", line=1)
        except BadRow as bad:
            assert bad.problems
            assert all(problem.reason and problem.fix for problem in bad.problems), data
            return
        call = setup.builder.first(0, prompt)
        assert isinstance(call, Call)
        body = decode(call.body)
        assert body["model"] == call.model
        assert call.size.input_bound >= call.size.input_tokens >= 0, data
        json.dumps(prompt.id)

    yield case


@contextmanager
def config(folder: Path) -> Iterator[Target]:
    """A configuration is taken, or refused with its file; a run's parts can be made of
    what is taken.
    """
    example = (_REPOSITORY / "config.example.yaml").read_bytes()
    # Every example in the comments stands for a setting.
    seeds = [
        example,
        example.replace(b"\n#  ", b"\n  ")
        .replace(b": {}\n  ", b":\n  ")
        .replace(b": []\n  ", b":\n  "),
    ]
    sections = example.split(b"\n\n")
    place = folder / "fuzzed.yaml"

    def case(rng: random.Random) -> None:
        seed = rng.choice(seeds) if rng.random() < 0.2 else b"\n\n".join(rng.sample(sections, 3))
        data = mutated(seed, rng)
        place.write_bytes(data)
        try:
            found = load(place, {}, env={}, folder=folder).settings
            RunSetup.set_up(found, override=None, at=WHEN)
        except ClaudebatchError as error:
            assert error.message, data

    yield case


@contextmanager
def cache(folder: Path) -> Iterator[Target]:
    """Whatever happened to its files, the response cache gives back what was put, or
    nothing.
    """
    kept = {f"key-{n:02}": bytes([65 + n]) * (200 if n % 5 else 100_000) for n in range(20)}
    sound, broken = folder / "sound", folder / "broken"
    _fill(sound, kept)

    def case(rng: random.Random) -> None:
        shutil.rmtree(broken, ignore_errors=True)
        shutil.copytree(sound, broken)
        _spoil(broken, rng)
        with blocking_look_up(_store(broken)) as look_up:
            for key, found in zip(kept, look_up([*kept]), strict=True):
                assert found is None or found == kept[key], f"{key}: a wrong answer"

    yield case


@contextmanager
def ledger(folder: Path) -> Iterator[Target]:
    """Whatever happened to the spend ledger, the reports and the next run end in a code
    of the table.
    """
    home = Home(folder)
    assert home.run("run", "in.jsonl", "-o", "out.jsonl", "--simulate", "-qq").code == 0
    sound = home.state.with_name("sound-state")
    shutil.copytree(home.state, sound)

    def case(rng: random.Random) -> None:
        shutil.rmtree(home.state)
        shutil.copytree(sound, home.state)
        for name in ("spend.sqlite", "simulated/spend.sqlite"):
            path = home.state / name
            if path.exists():
                path.write_bytes(mutated(path.read_bytes(), rng))
        again = ("run", "in.jsonl", "-o", f"o{rng.randrange(3)}.jsonl", "--simulate", "-qq")
        home.check(
            *rng.choice([("spend",), ("spend", "--by", "model", "--json"), ("runs", "list"), again])
        )

    yield case


@contextmanager
def journal(folder: Path) -> Iterator[Target]:
    """Whatever happened to a run's own records, the same command ends in a code of the
    table.
    """
    home = Home(folder)
    command_line = ("run", "in.jsonl", "-o", "out.jsonl", "--simulate", "-qq")
    assert home.run(*command_line).code == 0
    place, sound = home.work / "out.jsonl.claudebatch", folder / "sound-run"
    shutil.copytree(place, sound)

    def case(rng: random.Random) -> None:
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(sound, place)
        _spoil(place, rng)
        home.check(*command_line)

    yield case


@contextmanager
def files(folder: Path) -> Iterator[Target]:
    """A whole input file, cut and spoiled anywhere, through the command itself."""
    home = Home(folder)
    seed = b"\n".join(LINES) + b"\n"

    def case(rng: random.Random) -> None:
        (home.work / "fuzzed.jsonl").write_bytes(mutated(seed, rng))
        mode = rng.choice([[], ["--on-bad-row", "skip"], ["--text"]])
        home.check("run", "fuzzed.jsonl", "--dry-run", *rng.choice([[], ["--json"]]), *mode)

    yield case


class Home:
    """A user's folders, and commands in them that must end well."""

    def __init__(self, folder: Path) -> None:
        self.work, self.state = folder / "work", folder / "state"
        self.work.mkdir()
        self._environment = {
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / "none"),
            "CLAUDEBATCH_STATE_DIR": str(self.state),
            "CLAUDEBATCH_CACHE_DIR": str(folder / "cache"),
        }
        rows = (json.dumps({"id": f"row-{n}", "prompt": f"row-{n}"}) + "\n" for n in range(12))
        (self.work / "in.jsonl").write_text("".join(rows))
        (self.work / "claudebatch.yaml").write_text(
            'limits: {tier: none}\nsimulate: {latency: "fixed:0.001"}\n'
        )

    def run(self, *arguments: str) -> Ended:
        """How a command ended."""
        return command(*arguments, folder=self.work, environment=self._environment)

    def check(self, *arguments: str) -> None:
        """Run a command that may fail, and must not break."""
        ended = self.run(*arguments)
        assert ended.code in CODES, f"{arguments}: exit code {ended.code}: {ended.err}"
        assert "Traceback" not in ended.out + ended.err, ended.err


def _spoil(folder: Path, rng: random.Random) -> None:
    """Change, empty, cut or remove some of the files."""
    there = [path for path in folder.rglob("*") if path.is_file()]
    for path in rng.sample(there, min(len(there), rng.choice((1, 1, 2)))):
        match rng.randrange(6):
            case 0:
                path.unlink()
            case 1:
                path.write_bytes(b"")
            case _:
                path.write_bytes(mutated(path.read_bytes(), rng))


def _fill(place: Path, kept: dict[str, bytes]) -> None:
    import asyncio

    async def put() -> None:
        store = _store(place)
        await store.put_many(kept)
        await store.close()

    asyncio.run(put())


def _store(place: Path) -> DiskCacheStore:
    return DiskCacheStore(place, size_limit=1 << 30, ttl_s=None, notify=lambda _: None)


TARGETS = {
    "lines": lines,
    "config": config,
    "cache": cache,
    "ledger": ledger,
    "journal": journal,
    "files": files,
}
