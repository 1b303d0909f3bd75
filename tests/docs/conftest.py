from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs import sandbox
from tests.docs.console import Shell
from tests.e2e.processes import Zygote


@pytest.fixture(scope="session")
def root() -> Path:
    return sandbox.ROOT


@pytest.fixture(scope="session")
def stand_in_api() -> Iterator[str]:
    with sandbox.stand_in_api() as url:
        yield url


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory, stand_in_api: str, zygote: Zygote) -> Shell:
    return sandbox.sandbox(tmp_path_factory.mktemp("examples"), stand_in_api, zygote)
