"""Whether there is a credential at all, asked before anything else and without the SDK.

The SDK resolves it; we only look for the sources it knows, because it fails at the first request and not before.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from claudebatch.errors import CredentialError

_SINGLE = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_PROFILE")
_HEADERS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")
_TOKEN = ("ANTHROPIC_IDENTITY_TOKEN", "ANTHROPIC_IDENTITY_TOKEN_FILE")
_FEDERATION = ("ANTHROPIC_FEDERATION_RULE_ID", "ANTHROPIC_ORGANIZATION_ID")


def require_credential(env: Mapping[str, str], *, home: Path) -> None:
    """Raise `CredentialError` when the SDK would find no credential."""
    for name in _HEADERS:
        # Refused here: an HTTP library would name the whole header, key included, in its error.
        value = env.get(name, "")
        if not (value.isascii() and value.isprintable()):
            raise CredentialError(f"{name} holds a character that no key has", fix="copy the key again, without breaks")
    if any(env.get(name) for name in _SINGLE):
        return
    if any(env.get(name) for name in _TOKEN) and all(env.get(name) for name in _FEDERATION):
        return
    profiles = Path(env.get("ANTHROPIC_CONFIG_DIR") or home / ".config" / "anthropic")
    if profiles.is_dir() and any(profiles.iterdir()):
        return
    raise CredentialError(
        "no API key: ANTHROPIC_API_KEY is not set",
        fix="export ANTHROPIC_API_KEY=… (from platform.claude.com), or rehearse without one: add --simulate",
    )
