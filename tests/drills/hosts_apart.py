"""Hosts of a drill on one machine: network namespaces on a bridge of their own, each
with the simulated API at the same local address. Needs root and `ip`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

_BRIDGE = "cbdrill"
_RELAY = """
import asyncio, sys
port, path = int(sys.argv[1]), sys.argv[2]
async def pump(reader, writer):
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
async def serve(reader, writer):
    if path.startswith("/"):
        there = await asyncio.open_unix_connection(path)
    else:
        there = await asyncio.open_connection("127.0.0.1", int(path))
    await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))
async def main():
    if port:
        server = await asyncio.start_server(serve, "127.0.0.1", port)
    else:
        server = await asyncio.start_unix_server(serve, sys.argv[3])
    await server.serve_forever()
asyncio.run(main())
"""
_RAY = "import sys; sys.argv[0] = 'ray'; from ray.scripts.scripts import main; main()"


class HostsApart:
    """Three hosts with a Ray cluster: 0 is its head and has the driver."""

    def __init__(self, folder: Path, port: int, environment: dict[str, str]) -> None:
        """*port*: the simulated API's."""
        self._folder = folder
        self._port = port
        self._environment = environment
        self._relay: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> HostsApart:
        _ip("link", "add", _BRIDGE, "type", "bridge")
        _ip("link", "set", _BRIDGE, "up")
        # A socket in the file system is reached from every namespace: a host that is
        # cut off from the others can still pay for answers.
        socket = str(self._folder / "api.sock")
        self._relay = subprocess.Popen(
            [sys.executable, "-c", _RELAY, "0", str(self._port), socket], env=self._environment
        )
        for host in range(3):
            self._add(host, socket)
        return self

    def __exit__(self, *_: object) -> None:
        for host in range(3):
            self.kill(host)
            # By name: with its namespace it would go some time later.
            _ip("link", "del", _name(host), check=False)
            _ip("netns", "del", _name(host), check=False)
        _ip("link", "del", _BRIDGE, check=False)
        if self._relay is not None:
            self._relay.kill()
            self._relay.wait()

    def _add(self, host: int, socket: str) -> None:
        name = _name(host)
        _ip("netns", "add", name)
        _ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("link", "set", name, "master", _BRIDGE, "up")
        for command in (
            ("addr", "add", f"10.77.0.{host + 1}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("link", "set", "lo", "up"),
        ):
            _ip("-n", name, *command)
        relay = [sys.executable, "-c", _RELAY, str(self._port), socket]
        subprocess.Popen(self.inside(host, relay), env=self._environment)

    def inside(self, host: int, command: list[str]) -> list[str]:
        """*command*, to be run on *host*."""
        return ["ip", "netns", "exec", _name(host), *command]

    def join(self, host: int) -> None:
        """Let *host* be one of the cluster."""
        role = ["--head", "--port", "6379", "--include-dashboard=false"]
        role = role if host == 0 else ["--address", "10.77.0.1:6379"]
        place = ["--temp-dir", str(self._folder / "ray")] if host == 0 else []
        address = ["--node-ip-address", f"10.77.0.{host + 1}", "--num-cpus", "2"]
        store = ["--object-store-memory", "80000000", "--disable-usage-stats"]
        command = [sys.executable, "-c", _RAY, "start", *role, *place, *address, *store]
        done = subprocess.run(
            self.inside(host, command), env=self._environment, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)

    def pids(self, host: int, name: str = "") -> list[int]:
        """The processes on *host* whose command has *name* in it."""
        listed = subprocess.run(
            ["ip", "netns", "pids", _name(host)], capture_output=True, text=True
        )
        found = []
        for pid in map(int, listed.stdout.split()):
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if name in command:
                found.append(pid)
        return found

    def kill(self, host: int, name: str = "") -> None:
        """Kill them."""
        for pid in self.pids(host, name):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def crash(self, host: int) -> None:
        """Kill Ray on *host*, and all that it started."""
        for name in ("gcs_server", "raylet", "ray::", "monitor.py"):
            self.kill(host, name)
        time.sleep(0.5)

    def cut(self, host: int) -> None:
        """Cut the network of *host*."""
        _ip("link", "set", _name(host), "down")

    def mend(self, host: int) -> None:
        """Join it again."""
        _ip("link", "set", _name(host), "up")


def _name(host: int) -> str:
    return f"{_BRIDGE}{host}"


def _ip(*arguments: str, check: bool = True) -> None:
    subprocess.run(["ip", *arguments], check=check, stderr=None if check else subprocess.DEVNULL)
