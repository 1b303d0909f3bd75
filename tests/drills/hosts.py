"""`python -m tests.drills.hosts [--all]`: several processes share one account over a
Redis of the drill, and things die: processes, Redis, the network between them.

The judges are the simulator's bill and log, and Redis itself, which is looked at every
few milliseconds. Prints a line per scene. Exit code 1 when a promise was broken.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias
from unittest.mock import patch

from claudebatch.cli.wiring.api_target import scope_of
from claudebatch.setup.shared_server import shared_prefix
from claudebatch.simulator.settings import SimulatedAllowance
from claudebatch.storage.journal.schema import AttemptState
from claudebatch.storage.shared_server.settings import SharedSettings
from tests.e2e.served import Served
from tests.support.redis_servers import OwnServer

HAIKU = "claude-haiku-5-5"
PATIENCE_S = 180
NO_CAP = 1000 * 10**12
LOOK = """local day = ARGV[1]
return {redis.call('HGET', KEYS[1], day) or '0', redis.call('HGET', KEYS[2], day) or '0'}"""


class Started(Protocol):
    """A process that was started, as `Popen` is."""

    def poll(self) -> int | None: ...

    def kill(self) -> None: ...

    def wait(self, timeout: float | None = None) -> int: ...


def python(arguments: list[str], environment: dict[str, str], folder: Path) -> Started:
    """A process as a user starts it."""
    with (folder / "stderr").open("ab") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "claudebatch", *arguments],
            cwd=folder,
            env=environment,
            stderr=said,
        )


Starts: TypeAlias = Callable[[list[str], dict[str, str], Path], Started]


class Host:
    """A machine of its own: one run, and what it remembers between its sessions."""

    def __init__(self, stage: Stage, name: str, rows: int, texts: str) -> None:
        self.name = name
        self.folder = stage.folder / name
        self.folder.mkdir()
        self._stage = stage
        # The run that finds the price stands on the machine of another one: a server
        # that has lost its memory hears of it, then.
        self._state = stage.folder / f"state-{'h0' if name == 'first' else name}"
        lines = [{"id": f"r{n}", "prompt": f"{texts} {n}"} for n in range(rows)]
        (self.folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
        self.rows = {line["id"]: line["prompt"] for line in lines}
        # Mutable: the process; prompts whose answers were on disk at its deaths, with
        # how often each had been asked; requests in flight at its deaths.
        self.process: Started | None = None
        self.had: dict[str, int] = {}
        self.flying = 0

    def start(self) -> None:
        """Give the command, the first time or again."""
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(filter(None, [os.getcwd(), *sys.path])),
            "HOME": str(self.folder),
            "CLAUDEBATCH_STATE_DIR": str(self._state),
            "CLAUDEBATCH_CACHE_DIR": str(self.folder / "cache"),
            "CLAUDEBATCH_SHARED": self._stage.shared_url,
            "ANTHROPIC_BASE_URL": self._stage.api.url,
            "ANTHROPIC_API_KEY": "simulated",
        }
        config = ["-c", str(self._stage.config), "-m", HAIKU, "--yes", "-q"]
        command = ["run", "in.jsonl", "-o", "out.jsonl", *config]
        self.process = self._stage.starts(command, environment, self.folder)

    def kill(self) -> bool:
        """-9, and note what must not be lost; whether it was still there."""
        assert self.process is not None
        if self.process.poll() is not None:
            return False
        self.process.kill()
        self.process.wait()
        asked = self._stage.api.asked()
        self.had |= {self.rows[row]: asked[self.rows[row]] for row in self._answered()}
        self.flying += self._count("SELECT count(*) FROM attempts WHERE state = ?")
        return True

    def wait(self) -> int:
        """The exit code."""
        assert self.process is not None
        return self.process.wait(PATIENCE_S)

    def results(self) -> list[dict[str, Any]]:
        """The lines of its output."""
        path = self.folder / "out.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def _answered(self) -> list[str]:
        sql = "SELECT r.id FROM results x JOIN rows r ON r.row = x.row WHERE x.ok"
        return [row for (row,) in self._query(sql)]

    def _count(self, sql: str) -> int:
        return sum(number for (number,) in self._query(sql, int(AttemptState.SENT)))

    def _query(self, sql: str, *values: int) -> list[tuple[Any, ...]]:
        journal = self.folder / "out.jsonl.claudebatch" / "journal.sqlite"
        if not journal.exists():
            return []
        # Not read only: what was killed may have left half a commit.
        with closing(sqlite3.connect(journal)) as file, suppress(sqlite3.OperationalError):
            return file.execute(sql, values).fetchall()
        return []


class Stage:
    """The API, Redis, and the hosts; watched while they are at work."""

    def __init__(
        self, folder: Path, *, aof: bool = True, starts: Starts = python, **api: Any
    ) -> None:
        self.folder = folder
        self.starts = starts
        self.redis = OwnServer(folder)
        self._aof = ("--appendonly", "yes") if aof else ()
        self.redis.start(*self._aof)
        self.api = Served(**{"use_all_max_tokens": True, **api})
        self.config = folder / "settings.yaml"
        self.shared_url = self.redis.url
        self.hosts: list[Host] = []
        self.configure(NO_CAP)
        # Mutable: the cap; the most of it that was gone or held, and billed, at once.
        self.cap = NO_CAP
        self.most_gone = self.most_billed = self.looks = 0
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._watched)

    def configure(self, cap: int, more: str = "", *, max_tokens: int = 100) -> None:
        """What all runs are told."""
        self.cap = cap
        self.config.write_text(
            "limits: {tier: auto}\nretry: {base_s: 0.01, cap_s: 0.1}\n"
            f"max_tokens: {max_tokens}\n"
            f"budget: {{day: {cap / 10**12:.12f}}}\n{more}"
        )

    def host(self, name: str, rows: int, *, texts: str | None = None) -> Host:
        """One more machine."""
        made = Host(self, name, rows, texts or name)
        self.hosts.append(made)
        return made

    def price_of_a_row(self) -> int:
        """What one row costs; afterwards the server is past its beginning."""
        first = self.host("first", 1)
        first.start()
        assert first.wait() == 0, (first.folder / "stderr").read_text()
        return int(self.api.stats()["billed_pico"])

    def is_known(self) -> None:
        """Let the server have begun long ago: nobody waits for others to tell."""
        import redis

        settings = SharedSettings(self.redis.url, "")
        key = f"{shared_prefix(settings, scope_of(self.api.url))}:caps:epoch"
        with redis.Redis(port=self.redis.port) as client:
            server = client.info("replication")["master_replid"]
            client.hset(key, mapping={"id": "known", "until": 0, "server": server})

    def watch(self) -> None:
        """Look at Redis and at the bill until the end."""
        self._watch.start()

    def restart_redis(self, *, away_s: float) -> None:
        """Kill it, and start it again."""
        self.redis.stop()
        time.sleep(away_s)
        self.redis.start(*self._aof)

    def close(self) -> None:
        """Stop all that was started."""
        self._over.set()
        if self._watch.ident is not None:
            self._watch.join()
        for host in self.hosts:
            if host.process is not None and host.process.poll() is None:
                host.process.kill()
                host.process.wait()
        self.api.close()
        self.redis.stop()

    def _watched(self) -> None:
        import redis

        keys: list[bytes] = []
        with redis.Redis(port=self.redis.port) as client:
            while not self._over.wait(0.01):
                day = time.strftime("%Y-%m-%d", time.gmtime())
                cap = self.cap
                with suppress(redis.RedisError, OSError):
                    keys = keys or list(client.scan_iter(match="*:caps:gone"))
                    if keys:
                        held = keys[0].replace(b":gone", b":held")
                        gone = sum(map(int, client.eval(LOOK, 2, keys[0], held, day)))
                        self.most_gone = max(self.most_gone, gone * 10_000 // cap)
                        self.looks += 1
                billed = int(self.api.stats()["billed_pico"])
                self.most_billed = max(self.most_billed, billed * 10_000 // cap)


@dataclass
class Outcome:
    """A line of the table."""

    scene: str
    processes: int = 0
    killed: int = 0
    rows: int = 0
    lost: int = 0
    again: int = 0
    in_flight: int = 0
    """Requests in flight when something died: so many may be asked again."""
    gone: float = 0.0
    """The most that was spent and held at once, as a share of the cap."""
    billed: float = 0.0
    broken: list[str] = field(default_factory=list)

    @property
    def line(self) -> str:
        """As a row of Markdown."""
        shares = f"{self.gone:.1%} | {self.billed:.1%}".replace("%", " %")
        figures = (self.processes, self.killed, self.rows, self.lost)
        return (
            f"| {self.scene} | {' | '.join(map(str, figures))} | {self.again} of {self.in_flight}"
            f" | {shares} |"
        )


HEAD = """\
| scene | processes | killed | rows | answers lost | asked again, of those in flight | spent and \
held, of the cap | billed, of the cap |
|---|---|---|---|---|---|---|---|"""


@contextmanager
def stage(**settings: Any) -> Iterator[Stage]:
    """A fresh one, whose answers pass for real ones."""
    unmarked = patch("claudebatch.simulator.http.MARK", b"")
    with unmarked, tempfile.TemporaryDirectory() as name:
        made = Stage(Path(name), **settings)
        try:
            yield made
        finally:
            made.close()


def judged(scene: str, made: Stage, *, killed: int, allowed: int) -> Outcome:
    """What became of it, once every run has ended for good."""
    asked = made.api.asked()
    prompts = {text for host in made.hosts for text in host.rows.values()}
    lost = repeated = 0
    for host in made.hosts:
        lines = host.results()
        good = {line["id"] for line in lines if not line.get("error")}
        lost += len(host.rows) - len(good)
        repeated += sum(asked[text] != count for text, count in host.had.items())
    found = Outcome(
        scene,
        len(made.hosts),
        killed,
        sum(len(host.rows) for host in made.hosts),
        lost,
        sum(asked[text] - 1 for text in prompts),
        allowed,
        made.most_gone / 10_000,
        made.most_billed / 10_000,
    )
    promises = {
        "every row has its answer": not lost,
        "what was answered is not asked again": not repeated,
        "no more than those in flight are asked again": found.again <= allowed,
        "spent and held never pass the cap": found.gone <= 1,
        "the bill never passes the cap": found.billed <= 1,
        "nothing was refused": set(made.api.stats()["by_status"]) <= {"200"},
        "it was looked at": made.looks > 10,
    }
    found.broken = [promise for promise, kept in promises.items() if not kept]
    return found


def race(
    processes: int, rows: int, deaths: int, *, seed: int = 1, short: bool = False, **more: Any
) -> Outcome:
    """All of them race for a cap that has money for two thirds of their rows; some are
    killed at random moments, and take part again once there is more. *short*: there is
    money for all, and nobody waits for the minute after which the dead are dead.
    """
    chance = random.Random(seed)
    pace = SimulatedAllowance(rpm=60.0 * 25 * processes**0.5, burst_seconds=1.0)
    with stage(limits=pace, latency="uniform:0.05,0.3", **more) as made:
        if short:
            made.is_known()
        price = made.price_of_a_row()
        made.configure((3 if short else 1) * price * (2 * processes * rows // 3))
        hosts = [made.host(f"h{n}", rows) for n in range(processes)]
        made.watch()
        for host in hosts:
            host.start()
        killed, doomed = 0, chance.sample(hosts, deaths)
        for number, host in enumerate(doomed):
            # When so many of all rows were asked for.
            when = 1 + (number + chance.random()) * 0.6 * processes * rows / deaths
            until(lambda when=when: len(made.api.bodies) > when or over(hosts))
            killed += host.kill()
        codes = {host.wait() for host in hosts} - {-signal.SIGKILL}
        found_codes = codes <= {0, 3}
        # The peaks are those of the race: the sums stay, and the cap goes up.
        made.configure(NO_CAP)
        for host in hosts:
            host.start()
        ended = [host.wait() for host in hosts]
        flying = sum(host.flying for host in hosts)
        found = judged("a race for a cap", made, killed=killed, allowed=flying)
        if not found_codes or set(ended) != {0}:
            found.broken.append(f"runs end well: {codes}, {ended}")
        return found


def claims(rows: int) -> Outcome:
    """Two hosts have the same rows and share answers; one dies while it asks."""
    # Answers that are cut off would not be kept, and so not shared.
    with stage(latency="fixed:0.3", use_all_max_tokens=False) as made:
        made.price_of_a_row()
        made.configure(NO_CAP, "cache: {shared: answers}\nconcurrency: 8\n", max_tokens=4000)
        dies, lives = (made.host(name, rows, texts="same") for name in ("dies", "lives"))
        made.watch()
        dies.start()
        until(lambda: len(made.api.bodies) > rows // 3)
        lives.start()
        until(lambda: len(made.api.bodies) > rows // 2)
        killed = int(dies.kill())
        code = lives.wait()
        dies.start()
        return judged_claims(made, killed, dies.flying, {code, dies.wait()})


def judged_claims(made: Stage, killed: int, flying: int, codes: set[int]) -> Outcome:
    """The same, where two hosts have the same rows: neither asks what the other did."""
    found = judged("a process dies while it asks for others", made, killed=killed, allowed=flying)
    if codes != {0}:
        found.broken.append(f"runs end well: {codes}")
    return found


def redis_dies(processes: int, rows: int, *, aof: bool) -> Outcome:
    """Redis is killed in mid-run, and comes back with all that it knew, or nothing."""
    how = "keeps" if aof else "has lost"
    pace = SimulatedAllowance(rpm=60.0 * 20 * processes, burst_seconds=1.0)
    with stage(aof=aof, limits=pace, latency="uniform:0.05,0.3") as made:
        price = made.price_of_a_row()
        hosts = [made.host(f"h{n}", rows) for n in range(processes)]
        made.configure(price * (2 * processes * rows // 3))
        made.watch()
        for host in hosts:
            host.start()
        until(lambda: len(made.api.bodies) > processes * rows // 4)
        made.restart_redis(away_s=1.0)
        codes = {host.wait() for host in hosts}
        made.configure(NO_CAP)
        for host in hosts:
            host.start()
        ended = {host.wait() for host in hosts}
        scene = f"Redis is killed, and {how} its memory"
        found = judged(scene, made, killed=0, allowed=0)
        if codes - {0, 3} or ended != {0}:
            found.broken.append(f"runs end well: {codes}, {ended}")
        return found


def cut(processes: int, rows: int) -> Outcome:
    """The network between the hosts and Redis is cut for some seconds."""
    pace = SimulatedAllowance(rpm=60.0 * 20 * processes, burst_seconds=1.0)
    with stage(limits=pace, latency="uniform:0.05,0.3") as made:
        made.price_of_a_row()
        hosts = [made.host(f"h{n}", rows) for n in range(processes)]
        with Wire(made.redis.port) as wire:
            made.shared_url = f"redis://127.0.0.1:{wire.port}"
            made.watch()
            for host in hosts:
                host.start()
            until(lambda: len(made.api.bodies) > processes * rows // 4)
            wire.cut()
            time.sleep(1.0)
            before = len(made.api.bodies)
            time.sleep(2.0)
            still = len(made.api.bodies) == before
            wire.mend()
            codes = {host.wait() for host in hosts}
        found = judged("the network to Redis is cut", made, killed=0, allowed=0)
        if not still or codes != {0}:
            found.broken.append(f"nothing is sent meanwhile: {still}; runs end well: {codes}")
        return found


class Wire:
    """A way to Redis that can be cut."""

    def __init__(self, port: int) -> None:
        self._behind = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        # Mutable: whether nothing passes, and the ends of all connections.
        self._cut = False
        self._ends: list[socket.socket] = []

    def __enter__(self) -> Wire:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._listener.close()

    def cut(self) -> None:
        """Nothing passes, and nobody is told of what had begun."""
        self._cut = True
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._ends.clear()

    def mend(self) -> None:
        """All passes again."""
        self._cut = False

    def _accept(self) -> None:
        while True:
            try:
                ours, _ = self._listener.accept()
            except OSError:
                return
            if self._cut:
                ours.close()
                continue
            theirs = socket.create_connection(("127.0.0.1", self._behind))
            self._ends += [ours, theirs]
            for source, sink in ((ours, theirs), (theirs, ours)):
                threading.Thread(target=_pass_on, args=(source, sink), daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def over(hosts: list[Host]) -> bool:
    """Whether none of them is at work."""
    return all(host.process is not None and host.process.poll() is not None for host in hosts)


def until(true: Callable[[], bool]) -> None:
    """Wait until something has happened."""
    end = time.monotonic() + PATIENCE_S
    while not true():
        if time.monotonic() > end:
            raise SystemExit("what the drill waits for has not happened")
        time.sleep(0.005)


def scenes(everything: bool) -> Iterator[Outcome]:
    """One after the other."""
    if not everything:
        yield race(4, 30, 2)
        yield redis_dies(2, 60, aof=False)
        return
    for seed in (1, 2, 3):
        yield race(8, 60, 4, seed=seed)
    yield claims(60)
    yield redis_dies(4, 120, aof=True)
    yield redis_dies(4, 120, aof=False)
    yield cut(4, 120)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="every scene, eight processes")
    print(HEAD)
    broken = []
    for found in scenes(parser.parse_args().all):
        print(found.line, flush=True)
        broken += [f"{found.scene}: {promise}" for promise in found.broken]
    print("\n".join(["", *(f"BROKEN: {each}" for each in broken)]) if broken else "")
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
