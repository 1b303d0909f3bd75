"""Names of the processes that use the shared server, and of what they have there."""

from __future__ import annotations

import os
import platform
import random
import re

# Enough to know a machine by; scripts take names apart at spaces, dots and slashes.
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9-]+")
_LONGEST_NAME = 40


def client_name(rng: random.Random) -> str:
    """This process among all that use the server: machine, process, and chance, because
    a container is process 1 of a machine that is called as its image says.
    """
    host = _NOT_IN_A_NAME.sub("-", platform.node())[:_LONGEST_NAME].strip("-") or "host"
    return f"{host}/{os.getpid()}/{rng.getrandbits(64):016x}"


def process_of(name: str) -> str:
    """The client that a booking, a hold or a claim called *name* is of."""
    return name.lstrip("?").rpartition(".")[0]
