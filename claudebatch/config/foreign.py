"""Settings that other tools have in their files and this one has not, because a file is
the wrong place for them.
"""

from __future__ import annotations

# A file is copied, committed and shared; a key in it would be, too.
_VARIABLE = (
    "keys, addresses and headers come from the environment only:"
    " ANTHROPIC_API_KEY, ANTHROPIC_BASE_URL, ANTHROPIC_CUSTOM_HEADERS"
)
# A proxy reads every request: no file that lies around may do so.
_NETWORK = "proxies and certificates come from the environment only: HTTPS_PROXY, SSL_CERT_FILE"
_PLACE = (
    "places are given with -o, or in the environment: CLAUDEBATCH_STATE_DIR, CLAUDEBATCH_CACHE_DIR"
)
# A file that starts programs would start them for every user in its folder.
_PROGRAM = "the only program that a run can start is alerts.command, in your own configuration"
_SAMPLING = "remove it: the API has no such parameter any more; say in the prompt how to answer"
# Names that other tools use: their users write them here from habit.
_FIXES = {
    "api_key": _VARIABLE,
    "key": _VARIABLE,
    "auth_token": _VARIABLE,
    "token": _VARIABLE,
    "credentials": _VARIABLE,
    "api_key_helper": _VARIABLE,
    "key_command": _VARIABLE,
    "profile": _VARIABLE,
    "anthropic_api_key": _VARIABLE,
    "base_url": _VARIABLE,
    "api_base": _VARIABLE,
    "endpoint": _VARIABLE,
    "url": _VARIABLE,
    "anthropic_base_url": _VARIABLE,
    "headers": _VARIABLE,
    "custom_headers": _VARIABLE,
    "extra_headers": _VARIABLE,
    "default_headers": _VARIABLE,
    "proxy": _NETWORK,
    "proxies": _NETWORK,
    "http_proxy": _NETWORK,
    "https_proxy": _NETWORK,
    "ca": _NETWORK,
    "ca_bundle": _NETWORK,
    "ca_file": _NETWORK,
    "cert": _NETWORK,
    "verify": _NETWORK,
    "verify_ssl": _NETWORK,
    "output": _PLACE,
    "output_dir": _PLACE,
    "output_root": _PLACE,
    "results": _PLACE,
    "cache_dir": _PLACE,
    "state_dir": _PLACE,
    "ledger": _PLACE,
    "log": _PLACE,
    "log_file": _PLACE,
    "default_model": 'write "model"',
    "temperature": _SAMPLING,
    "top_p": _SAMPLING,
    "top_k": _SAMPLING,
    "hooks": _PROGRAM,
    "hook": _PROGRAM,
    "command": _PROGRAM,
    "plugins": _PROGRAM,
    "exec": _PROGRAM,
    "pre_run": _PROGRAM,
    "post_run": _PROGRAM,
    "on_start": _PROGRAM,
    "on_finish": _PROGRAM,
    "env": "a file sets no environment",
    "environment": "a file sets no environment",
    "env_file": "a file sets no environment",
    "dotenv": "a file sets no environment",
}


def belongs_elsewhere(key: str) -> str | None:
    """Where *key*, which is no setting, is set instead; None for a word that means
    nothing here.
    """
    return _FIXES.get(key.lower().replace("-", "_"))
