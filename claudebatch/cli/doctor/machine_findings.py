"""Findings about this machine, without a connection."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from claudebatch import __version__
from claudebatch.config.credentials import credential_source
from claudebatch.core.errors import ClaudebatchError, ExitCode
from claudebatch.core.reports.finding import Finding
from claudebatch.storage.health import damage

# STRICT tables came with it: older ones cannot read the schema.
_SQLITE_NEEDED = (3, 37, 0)
# A million answers take about three times as much.
_LITTLE_SPACE = 1 << 30
# A journal that cannot grow stops the run within minutes.
_NO_SPACE = 64 << 20
# Every group of answers waits for one: network disks take this long.
_SLOW_SYNC_S = 0.1


def versions() -> Finding:
    """The versions in use."""
    sdk = importlib.metadata.version("anthropic")  # without the second that importing it takes
    found = f"claudebatch {__version__}, Python {platform.python_version()}, anthropic {sdk}"
    if sqlite3.sqlite_version_info < _SQLITE_NEEDED:
        needed = ".".join(map(str, _SQLITE_NEEDED))
        return Finding(
            "versions",
            "failure",
            f"{found}, SQLite {sqlite3.sqlite_version}: older than {needed}",
            fix="use a Python that brings a newer SQLite",
            exit_code=ExitCode.LOCAL_IO,
        )
    return Finding("versions", "ok", f"{found}, SQLite {sqlite3.sqlite_version}")


def credential(env: Mapping[str, str], *, home: Path) -> Finding:
    """Whether there is a key, and where; never the key."""
    try:
        return Finding("key", "ok", f"found: {credential_source(env, home=home)}")
    except ClaudebatchError as error:
        return Finding("key", "failure", error.message, fix=error.fix, exit_code=error.exit_code)


def has_credential(env: Mapping[str, str], *, home: Path) -> bool:
    """Whether there is one at all."""
    return credential(env, home=home).state == "ok"


def folder(name: str, path: Path, *, now: Callable[[], float], private: bool) -> Iterator[Finding]:
    """Whether files can be kept safely under *path*, the nearest folder above it that
    exists.
    """
    # What does not exist yet will be made under the first folder that does.
    there = next(place for place in (path, *path.parents) if place.is_dir())
    if private and there == path:
        yield from _privacy(name, path)
    free = shutil.disk_usage(there).free
    space = f"{free / 1e9:,.1f} GB free"
    try:
        took_s = _sync(there, now)
    except OSError as error:
        yield Finding(
            name,
            "failure",
            f"{there}: cannot be written: {error.strerror}",
            fix="choose another folder, or fix its permissions",
            exit_code=ExitCode.LOCAL_IO,
        )
        return
    text = f"{path}: {space}, a durable write takes {took_s * 1000:,.1f} ms"
    if free < _NO_SPACE:
        yield Finding(name, "failure", text, fix="free some space", exit_code=ExitCode.LOCAL_IO)
    elif free < _LITTLE_SPACE:
        yield Finding(
            name, "warning", text, fix="free some space: a million answers take about 3 GB"
        )
    elif took_s > _SLOW_SYNC_S:
        yield Finding(
            name, "warning", text, fix="a local disk keeps up with more requests a second"
        )
    else:
        yield Finding(name, "ok", text)


def _privacy(name: str, path: Path) -> Iterator[Finding]:
    found = path.stat()
    if found.st_uid != os.getuid():
        yield Finding(
            name,
            "failure",
            f"{path} belongs to another user",
            fix="set CLAUDEBATCH_STATE_DIR and CLAUDEBATCH_CACHE_DIR to folders of your own",
            exit_code=ExitCode.LOCAL_IO,
        )
    elif stat.S_IMODE(found.st_mode) & 0o077:
        yield Finding(
            name,
            "warning",
            f"{path} can be read by others (mode {stat.S_IMODE(found.st_mode):04o})",
            fix=f"chmod 700 {path}",
        )


def _sync(place: Path, now: Callable[[], float]) -> float:
    """Seconds that a durable write takes in *place*; leaves nothing behind."""
    with tempfile.TemporaryFile(dir=place) as file:
        # One page: less may be kept in the inode and say nothing of the disk.
        file.write(b"x" * 4096)
        file.flush()
        begun = now()
        os.fsync(file.fileno())
        return now() - begun


def database(name: str, path: Path, *, fix: str) -> Finding:
    """Whether the database at *path* is whole."""
    # No database yet is no fault: the first run makes it.
    if not path.exists():
        return Finding(name, "ok", f"{path}: none yet")
    wrong = damage(path)
    if wrong is not None:
        return Finding(name, "failure", f"{path}: {wrong}", fix=fix, exit_code=ExitCode.LOCAL_IO)
    return Finding(name, "ok", f"{path}: whole, {path.stat().st_size / 1e6:,.1f} MB")


def open_files(wanted: int, allowed: int) -> Finding:
    """Whether *wanted* connections may be open at once; *allowed*: so many may."""
    if allowed < wanted:
        return Finding(
            "open files",
            "note",
            f"at most {allowed:,} requests in flight: more files may not be open",
            fix=f"ulimit -n {wanted + 64}",
        )
    return Finding("open files", "ok", f"enough for {wanted:,} requests in flight")
