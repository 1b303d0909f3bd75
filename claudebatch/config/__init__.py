"""Where every setting comes from: flags, the YAML file, the environment. The only room
that reads the environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

# Compose files and CI set what they do not know to "". Of some variables the SDK and
# the system take that for a value: an address without a host, the folder /.
_EMPTY_IS_UNSET = ("HOME", "SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")
_FAMILIES = ("ANTHROPIC_", "CLAUDEBATCH_", "XDG_")


def environment() -> Mapping[str, str]:
    """The process's environment, handed to whoever may look at it."""
    return os.environ


def adopt(variables: Mapping[str, str]) -> None:
    """Put *variables* into the environment of a process that was started for another
    one's work.
    """
    os.environ.update(variables)


def unset(name: str) -> None:
    """Take the variable *name* out of the environment: this run does not use it, and a
    library that it loads would.
    """
    os.environ.pop(name, None)


def unset_empty() -> None:
    """Take variables that are set to nothing out of the environment."""
    for name, value in list(os.environ.items()):
        ours = name in _EMPTY_IS_UNSET or name.startswith(_FAMILIES)
        if ours and not value.strip():
            del os.environ[name]
