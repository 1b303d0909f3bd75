"""Where every setting comes from: flags, the YAML file, the environment. The only room
that reads the environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping


def environment() -> Mapping[str, str]:
    """The process's environment, handed to whoever may look at it."""
    return os.environ
