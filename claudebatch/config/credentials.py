"""Whether there is a credential at all, asked before anything else and without the SDK.

The SDK resolves it; we only look for the sources it knows, because it fails at the
first request and not before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from claudebatch.core.errors import ConfigError, CredentialError

# Each of them is enough.
_SINGLE = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_PROFILE")
_HEADERS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")
_NOT_IN_A_KEY: Mapping[str, Callable[[str], bool]] = {
    "contains a line break": lambda value: "\n" in value or "\r" in value,
    "begins or ends with a space": lambda value: value != value.strip(),
    "contains a space": lambda value: " " in value or "\t" in value,
    # Files of Docker and systemd keep them as a part of the value.
    "contains a quotation mark": lambda value: '"' in value or "'" in value or "`" in value,
    "contains a character outside ASCII": lambda value: (
        not (value.isascii() and value.isprintable())
    ),
}
_TOKEN = ("ANTHROPIC_IDENTITY_TOKEN", "ANTHROPIC_IDENTITY_TOKEN_FILE")
_CUSTOM = "ANTHROPIC_CUSTOM_HEADERS"
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# An identity token means nothing without these two.
_FEDERATION = ("ANTHROPIC_FEDERATION_RULE_ID", "ANTHROPIC_ORGANIZATION_ID")


def require_credential(env: Mapping[str, str], *, home: Path) -> None:
    """Raise `CredentialError` when the SDK would find no credential."""
    credential_source(env, home=home)


def credential_source(env: Mapping[str, str], *, home: Path) -> str:
    """Where the SDK will find its credential: a variable's name or a folder; raises
    `CredentialError`.
    """
    for name in _HEADERS:
        # Refused here: an HTTP library would name the whole header, key included, in
        # its error.
        _check_key(name, env.get(name, ""))
    _check_custom_headers(env)
    single = next((name for name in _SINGLE if env.get(name)), None)
    if single is not None:
        return single
    token = next((name for name in _TOKEN if env.get(name)), None)
    if token is not None and all(env.get(name) for name in _FEDERATION):
        return token
    named = env.get("ANTHROPIC_CONFIG_DIR")
    profiles = Path(named or home / ".config" / "anthropic")
    with suppress(OSError):
        # One that cannot be read holds no profile that the SDK would find.
        if profiles.is_dir() and any(profiles.iterdir()):
            return str(profiles)
    beside = f", and there is no profile in ANTHROPIC_CONFIG_DIR={named}" if named else ""
    raise CredentialError(
        "E218",
        f"no API key: ANTHROPIC_API_KEY is not set{beside}",
        fix="export ANTHROPIC_API_KEY=… (from platform.claude.com), or rehearse without one: add "
        "--simulate",
    )


def _check_key(name: str, value: str) -> None:
    wrong = next((words for words, finds in _NOT_IN_A_KEY.items() if finds(value)), None)
    if wrong is not None:
        raise ConfigError(
            "E219",
            f"{name} ({_shape(value)}) {wrong}, which a key never does",
            fix="copy it again, without quotes, spaces or line breaks",
        )


def _shape(value: str) -> str:
    """Enough to find the value again, and nothing of the secret in it."""
    return f"{len(value)} characters"


def secrets(env: Mapping[str, str]) -> tuple[str, ...]:
    """What in *env* nobody may read in an error: keys, tokens, added headers' values,
    passwords of proxies and of the shared server.
    """
    named = (*_HEADERS, "ANTHROPIC_IDENTITY_TOKEN", "ANTHROPIC_WEBHOOK_SIGNING_KEY")
    values = [env.get(name, "") for name in named]
    for _, value in _custom_headers(env):
        scheme, _, rest = value.partition(" ")
        values += [value, rest] if scheme.lower() in ("bearer", "basic") else [value]
    values += _url_passwords(env)
    return tuple(value for value in values if value)


def _url_passwords(env: Mapping[str, str]) -> Iterator[str]:
    for name in env:
        if name.upper() in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "CLAUDEBATCH_SHARED"):
            with suppress(ValueError):
                yield urlsplit(env[name]).password or ""


def _custom_headers(env: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Name and value, as the SDK reads them: lines without a colon are none."""
    for line in env.get(_CUSTOM, "").split("\n"):
        name, colon, value = line.partition(":")
        if colon:
            yield name.strip(), value.strip()


def _check_custom_headers(env: Mapping[str, str]) -> None:
    # Refused here for the same reason; sent, each would fail anew at every try of every
    # row.
    for number, (name, value) in enumerate(_custom_headers(env), start=1):
        if not _HEADER_NAME.fullmatch(name):
            raise ConfigError(
                "E220",
                f"{_CUSTOM}: header {number} has an invalid name",
                fix="write Name: value",
            )
        if not (value.isascii() and value.isprintable()):
            raise ConfigError(
                "E221",
                f"{_CUSTOM}: header {number} contains an invalid character",
                fix="remove it",
            )
