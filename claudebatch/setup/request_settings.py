"""What every request of a run shares, by name: two sessions of one run may differ in
it, and answers of the first would be taken for those of the second.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from claudebatch import __version__
from claudebatch.setup.run_options import RunOptions
from claudebatch.setup.run_setup import RunSetup

RequestSettings = Mapping[str, str]
"""By name, what is shown of it; a digest of what is too long to be shown."""

_MODEL, _MAX_TOKENS = "model", "max_tokens"
_SHOWN = (_MODEL, _MAX_TOKENS)


def request_settings(options: RunOptions, run_setup: RunSetup) -> RequestSettings:
    """Those of this session."""
    settings = run_setup.settings
    return {
        _MODEL: options.model or settings.model,
        "system prompt": _digest(settings.system),
        _MAX_TOKENS: str(settings.max_tokens),
        "rules": _digest(json.dumps(settings.routes, default=str)),
    }


def keys_made_by(scope: str) -> list[str]:
    """What has to be the same for two keys of one request to be the same."""
    return [__version__, scope]


def differences(before: RequestSettings, now: RequestSettings) -> str:
    """What has changed, as a message names it."""
    changed = [name for name in now if before.get(name) != now[name]]
    words = [
        f"{name} ({before[name]}, now {now[name]})" if name in _SHOWN and name in before else name
        for name in changed
    ]
    return ", ".join(words) or "settings"


def _digest(text: str | None) -> str:
    # None and "" differ: an empty system prompt overrides one of the configuration.
    return "" if text is None else hashlib.sha256(text.encode()).hexdigest()[:16]
