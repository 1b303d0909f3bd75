"""The body of a create: hundreds of megabytes that stay in their file, and the requests
in it, found and checked as the API does it at once. What stands in `params` it looks at
only while the batch runs.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import msgspec

from claudebatch.simulator.refusals import bad

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class _Body(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    requests: list[msgspec.Raw]


class _BatchRow(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    custom_id: str
    params: msgspec.Raw


_body = msgspec.json.Decoder(_Body)
_row = msgspec.json.Decoder(_BatchRow)
_NO_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class StoredRequests:
    """The requests of one batch, each a piece of its file."""

    requests: Sequence[msgspec.Raw]

    def __len__(self) -> int:
        return len(self.requests)

    def row(self, number: int) -> tuple[str, bytes]:
        """The custom_id of one of them, and the bytes of its params."""
        row = _row.decode(self.requests[number])
        return row.custom_id, bytes(row.params)


def read_body(file: BinaryIO, most: int) -> StoredRequests:
    """The requests in *file*, at most so many; raises the API's 400."""
    file.flush()
    file.seek(0, 2)
    if file.tell() == 0:
        raise bad("The request body is not valid JSON: it is empty")
    # Mapped, not read: the pages are the file's, and the kernel's to forget.
    mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    try:
        requests = _body.decode(mapped).requests
    except msgspec.ValidationError as error:
        raise bad(_words("", str(error))) from error
    except _NO_JSON as error:
        raise bad(f"The request body is not valid JSON: {error}") from error
    if not requests:
        raise bad("requests: List should have at least 1 item after validation, not 0")
    if len(requests) > most:
        raise bad(
            f"requests: List should have at most {most} items after validation, not {len(requests)}"
        )
    _check(requests)
    return StoredRequests(requests)


def _check(requests: Sequence[msgspec.Raw]) -> None:
    seen: set[str] = set()
    for number, request in enumerate(requests):
        try:
            row = _row.decode(request)
        except _NO_JSON as error:
            raise bad(_words(f"requests.{number}", str(error))) from error
        place = f"requests.{number}.custom_id"
        if not _NAME.fullmatch(row.custom_id):
            raise bad(f"{place}: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'")
        if row.custom_id in seen:
            raise bad(f"{place}: Duplicate custom_id '{row.custom_id}'")
        seen.add(row.custom_id)
        if not bytes(row.params).startswith(b"{"):
            raise bad(f"requests.{number}.params: Input should be a valid dictionary")


def _words(place: str, reason: str) -> str:
    """The API's words for the decoder's *reason* at *place*."""
    missing = re.search(r"missing required field `(\w+)`", reason)
    unknown = re.search(r"unknown field `(\w+)`", reason)
    where = re.search(r"`\$\.?([^`]*)`", reason)
    path = ".".join(part for part in (place, where[1] if where else "") if part)
    if missing is not None:
        return f"{path + '.' if path else ''}{missing[1]}: Field required"
    if unknown is not None:
        return f"{path + '.' if path else ''}{unknown[1]}: Extra inputs are not permitted"
    return f"{path or 'body'}: Input does not match the expected shape."
