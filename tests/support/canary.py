"""A key that is easy to find again, in every spelling in which it could leak."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

CANARY = "sk-ant-CANARY-9f3b/7c+21d~5e8"


def spellings(secret: str = CANARY) -> Iterator[bytes]:
    """*secret* as it may stand somewhere: plain, cut, URL-encoded, in base64, in
    hex.
    """
    plain = secret.encode()
    yield plain
    yield plain[:-6]  # cut off by some limit
    yield quote(secret, safe="").encode()
    for shift in range(3):
        yield base64.b64encode(b"x" * shift + plain)[4:-4]
        yield base64.urlsafe_b64encode(b"x" * shift + plain)[4:-4]
    yield plain.hex().encode()


def leaks(files: list[Path], *texts: str, secrets: tuple[str, ...] = (CANARY,)) -> list[str]:
    """Where one of *secrets* is found in what was written or said."""
    written = [
        (str(path), path.read_bytes() + str(path).encode()) for path in files if path.is_file()
    ]
    said = [(f"text {number}", text.encode(errors="replace")) for number, text in enumerate(texts)]
    looked_for = [spelling for secret in secrets for spelling in spellings(secret)]
    # Split over lines it is as readable as whole.
    return [
        name
        for name, data in [*written, *said]
        if any(s in data.replace(b"\n", b"") for s in looked_for)
    ]
