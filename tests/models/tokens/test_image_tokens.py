"""Images: their size from the header alone, their tokens from their size."""

import base64
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudebatch.models.catalog import Catalog
from claudebatch.models.tokens.images import Pixels, image_size, patches

CATALOG = Catalog.load()
NEW, OLD = CATALOG.facts("claude-sonnet-5-5"), CATALOG.facts("claude-haiku-4-5")


def png(width, height):
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + bytes(500_000)


def jpeg(width, height):
    profile = b"\xff\xe2" + struct.pack(">H", 60_000) + bytes(59_998)
    frame = b"\xff\xc2" + struct.pack(">HBHH", 17, 8, height, width) + bytes(10)
    return b"\xff\xd8" + profile + b"\xff" + frame


def gif(width, height):
    return b"GIF89a" + struct.pack("<HH", width, height) + bytes(20)


def webp(kind, width, height):
    body = {
        b"VP8 ": bytes(6) + struct.pack("<HH", width, height),
        b"VP8L": b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14),
        b"VP8X": bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little"),
    }[kind]
    return b"RIFF" + bytes(4) + b"WEBP" + kind + bytes(4) + body + bytes(20)


IMAGES = {
    "png": png(1000, 600),
    "jpeg": jpeg(1000, 600),
    "gif": gif(1000, 600),
    "vp8": webp(b"VP8 ", 1000, 600),
    "vp8l": webp(b"VP8L", 1000, 600),
    "vp8x": webp(b"VP8X", 1000, 600),
}


def encoded(data):
    return base64.b64encode(data).decode()


@pytest.mark.parametrize("data", IMAGES.values(), ids=IMAGES)
def test_an_images_size_is_read_from_its_header(data):
    assert image_size(encoded(data)) == Pixels(1000, 600)


@pytest.mark.parametrize("data", IMAGES.values(), ids=IMAGES)
def test_a_cut_or_broken_image_has_no_size_but_never_fails(data):
    for length in range(80):
        image_size(encoded(data[:length]))
    assert image_size("not base64 at all!") is None
    assert image_size(encoded(data[:4])) is None


@given(st.binary(max_size=60), st.sampled_from(sorted(IMAGES)))
def test_hostile_image_bytes_never_fail(tail, kind):
    found = image_size(encoded(IMAGES[kind][:12] + tail))
    assert found is None or (found.width > 0 and found.height > 0)


def test_images_count_by_patches_after_scaling_down():
    assert patches(Pixels(1000, 600), NEW) == 36 * 22
    assert patches(Pixels(28, 28), NEW) == 1
    assert patches(Pixels(1, 1), NEW) == 1
    assert patches(Pixels(8000, 8000), NEW) <= NEW.image_tokens_max
    assert (
        patches(Pixels(8000, 8000), OLD) <= OLD.image_tokens_max < patches(Pixels(1932, 1932), NEW)
    )
    assert patches(Pixels(8000, 28), OLD) == 56
