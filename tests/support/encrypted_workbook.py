"""A workbook behind a password, as Office writes it: a compound file that holds an
encrypted package. Nothing in it can be read, so its streams are empty.
"""

from __future__ import annotations

import struct

_FREE, _END, _FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD


def _entry(name: str, kind: int, child: int = _FREE, right: int = _FREE) -> bytes:
    text = name.encode("utf-16-le")
    return (
        text.ljust(64, b"\0")
        + struct.pack("<HBB", len(text) + 2, kind, 1)
        + struct.pack("<III", _FREE, right, child)
        + bytes(36)
        + struct.pack("<IQ", _END, 0)
    )


def encrypted_workbook() -> bytes:
    """Its bytes."""
    head = (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
        + bytes(16)
        + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6)
        + bytes(6)
        + struct.pack("<IIIIIIIII", 0, 1, 1, 0, 4096, _END, 0, _END, 0)
        + struct.pack("<I", 0)
    )
    head = head.ljust(512, b"\xff")
    fat = struct.pack("<II", _FAT, _END).ljust(512, b"\xff")
    folder = (
        _entry("Root Entry", 5, child=1)
        + _entry("EncryptedPackage", 2, right=2)
        + _entry("EncryptionInfo", 2)
    )
    return head + fat + folder.ljust(512, b"\0")
