"""The way to the API as the environment describes it, and its TLS context, made before
anything is sent.
"""

from __future__ import annotations

import errno
import os
import re
import ssl
from dataclasses import dataclass
from pathlib import Path

from claudebatch.core.errors import ConfigError
from claudebatch.core.os_faults import os_fault

KEY_LOG = "SSLKEYLOGFILE"
"""The variable that has Python write the keys of its TLS connections to a file."""

# OpenSSL finds a certificate in a folder only under the hash of its subject.
_HASHED = re.compile(r"[0-9a-fA-F]{8}\.\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRoute:
    """How requests reach the base URL; config fills it from the environment."""

    tls: bool = True
    """Whether the base URL speaks https: without it no certificate is looked at."""
    proxy: str | None = None
    """The proxy's URL, its password included; None: there is none."""
    proxy_from: str = "HTTPS_PROXY"
    """The variable that names the proxy."""
    system_proxy: bool = True
    """No variable says anything of proxies: the system's own settings hold (macOS)."""
    certificates: str | None = None
    """A PEM file or a folder that replaces the system's authorities."""
    certificates_from: str = "SSL_CERT_FILE"
    """The variable that names them."""
    unread: tuple[str, ...] = ()
    """Variables of other programs about certificates, which are set and not read."""


def tls_context(route: NetworkRoute) -> ssl.SSLContext | None:
    """The context for the certificates that *route* names; None: the library's own.
    Raises `ConfigError`, which names variable and file.
    """
    if not route.tls:
        # Nothing is encrypted. Without authorities it would trust nobody.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if route.certificates is None:
        return None
    named = f"{route.certificates_from}={route.certificates}"
    try:
        if route.certificates_from == "SSL_CERT_DIR":
            return _from_folders(named, route.certificates)
        _require_readable(named, route.certificates)
        return ssl.create_default_context(cafile=route.certificates)
    except ssl.SSLError as error:
        raise ConfigError(
            "E207",
            f"{named}: no certificate in this file that OpenSSL can read",
            fix="name a PEM file (-----BEGIN CERTIFICATE-----), or unset the variable",
        ) from error


def check_key_log(path: str) -> None:
    """Raise `ConfigError` unless keys can be written to *path*, which is made if it is
    not there.

    The libraries open it when they are loaded: an error would come out of an import,
    without the variable's name, and a pipe that nobody reads would hold up the run.
    """
    try:
        # As Python does, but for the mode: the keys open what was sent.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
        os.close(os.open(path, flags, 0o600))
    except OSError as error:
        fault = os_fault(error)
        reason = "nobody reads this pipe" if error.errno == errno.ENXIO else fault.reason
        raise ConfigError(
            "E208",
            f"{KEY_LOG}={path}: {reason}",
            fix="name a file that can be written, or unset the variable",
        ) from error


def _require_readable(named: str, path: str) -> None:
    fix = "name a PEM file that exists and can be read, or unset the variable"
    try:
        # Not opened for its content: `load_verify_locations` does not say which file.
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as error:
        reason = "no such file" if error.errno == errno.ENOENT else (error.strerror or "unreadable")
        raise ConfigError("E209", f"{named}: {reason}", fix=fix) from error
    if Path(path).is_dir():
        raise ConfigError(
            "E210", f"{named}: this is a folder", fix="name a PEM file, or set SSL_CERT_DIR instead"
        )
    if not Path(path).is_file():
        # A pipe without a writer would be waited for, for ever.
        raise ConfigError("E211", f"{named}: this is not a regular file", fix=fix)


def _from_folders(named: str, paths: str) -> ssl.SSLContext:
    # OpenSSL takes several, as in PATH.
    folders = [path for path in paths.split(os.pathsep) if path and Path(path).is_dir()]
    if not folders:
        raise ConfigError(
            "E212",
            f"{named}: no such folder",
            fix="name a folder that exists, or unset the variable",
        )
    try:
        found = any(
            _HASHED.fullmatch(entry.name) for path in folders for entry in Path(path).iterdir()
        )
    except OSError as error:
        fault = os_fault(error)
        raise ConfigError(
            "E213", f"{named}: {fault.reason}", fix=f"{fault.fix}; or unset the variable"
        ) from error
    if not found:
        raise ConfigError(
            "E214",
            f"{named}: no certificate under its hash in this folder",
            fix="run `openssl rehash` on it, or name one PEM file in SSL_CERT_FILE",
        )
    return ssl.create_default_context(capath=paths)
