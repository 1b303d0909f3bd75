"""Images and documents that rows name are sent along, and nothing else of the
disk.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import struct
import zlib
from pathlib import Path

import pytest

RUN = ("run", "in.jsonl", "-o", "out.jsonl", "-m", "haiku", "-q")


def png(width: int = 10, height: int = 10, fill: bytes = b"") -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"tEXt", fill) + chunk(b"IEND", b"")


PDF = b"%PDF-1.4\n1 0 obj <</Type /Pages /Kids [2 0 R 3 0 R]>>\n" + b"<</Type /Page>>\n" * 2


@pytest.fixture
def photos(world) -> Path:
    """A folder with files of each kind."""
    folder: Path = world.path("photos")
    folder.mkdir()
    (folder / "a.png").write_bytes(png())
    (folder / "b.png").write_bytes(png(fill=b"b"))
    (folder / "c.pdf").write_bytes(PDF)
    (folder / "d.txt").write_text("Grüße")
    return folder


def blocks(api, number: int = 0) -> list[dict[str, object]]:
    content: list[dict[str, object]] = api.bodies[number]["messages"][-1]["content"]
    return content


def test_columns_of_a_table_name_images_and_documents(world, api, photos):
    world.path("in.csv").write_text(
        "id,photo,paper,ask\n1,photos/a.png,photos/c.pdf,What?\n2,photos/b.png,photos/d.txt,Who?\n"
        "3,,,Nothing?\n4,https://example.com/x.png,,Where?\n"
    )
    done = world.claudebatch(
        *("run", "in.csv", "-o", "out.csv", "-m", "haiku", "-t", "{ask}", "-j", "1"),
        *("--image", "photo", "--document", "paper"),
    )
    assert done.code == 0, done.err
    assert "W017" not in done.err
    image, paper, words = blocks(api)
    source = {"type": "base64", "media_type": "image/png"}
    data = base64.b64encode((photos / "a.png").read_bytes()).decode()
    assert image == {"type": "image", "source": {**source, "data": data}}
    assert paper["source"]["media_type"] == "application/pdf"  # type: ignore[index]
    assert words == {"type": "text", "text": "What?"}
    assert blocks(api, 1)[1]["source"] == {
        "type": "text",
        "media_type": "text/plain",
        "data": "Grüße",
    }
    assert blocks(api, 2) == "Nothing?"
    assert blocks(api, 3)[0]["source"] == {"type": "url", "url": "https://example.com/x.png"}
    assert "photos/a.png" in world.path("out.csv").read_text()


def test_json_lines_name_files_with_an_at_sign(world, api, photos):
    rows = [
        {"prompt": "What?", "image": "@photos/a.png"},
        {"messages": [{"role": "user", "content": "Who?"}], "images": ["@photos/a.png"] * 2},
        {"prompt": "Plain?", "image": "photos/a.png"},
        {"prompt": "Read?", "document": "@photos/d.txt"},
    ]
    world.write("in.jsonl", rows)
    done = world.claudebatch(*RUN, "-j", "1")
    assert done.code == 0, done.err
    kinds = [
        [block["type"] for block in blocks(api, n)] if n != 2 else blocks(api, n)
        for n in range(len(rows))
    ]
    assert kinds == [["image", "text"], ["image", "image", "text"], "Plain?", ["document", "text"]]
    assert "--image COLUMN" in world.claudebatch(*RUN[:5], "--fresh", "-m", "haiku").err
    assert world.claudebatch(*RUN, "--extra", "refuse").code == 2, "one field is not named"


def test_a_changed_file_runs_again_and_says_so(world, api, photos):
    world.write("in.jsonl", [{"id": n, "prompt": "x", "image": f"@photos/{n}.png"} for n in "ab"])
    assert world.claudebatch(*RUN).code == 0
    assert world.claudebatch(*RUN).code == 0
    assert api.requests == 2
    (photos / "a.png").write_bytes(png(fill=b"new"))
    done = world.claudebatch(*RUN[:-1])
    assert (done.code, api.requests) == (0, 3), done.err
    assert "1 row was edited since the answer came" in done.err


def test_each_bad_file_is_a_bad_line_and_nothing_is_sent(world, api, photos, tmp_path):
    outside = world.path("..").resolve() / "secret.png"
    outside.write_bytes(png())
    (photos / "link.png").symlink_to(outside)
    (photos / "inner.png").symlink_to("a.png")
    os.mkfifo(photos / "pipe.png")
    (photos / "folder.png").mkdir()
    (photos / "empty.png").touch()
    (photos / "huge.png").write_bytes(png(9000, 10))
    (photos / "x.bin").write_bytes(b"\xff\xfe\x00\x01")
    (photos / "large.png").write_bytes(png())
    os.truncate(photos / "large.png", 25_000_000)
    images = {
        "../secret.png": 'E390 "image": "../secret.png" lies outside this folder',
        str(outside): "E390",
        "photos/link.png": "E390",
        "photos/none.png": 'E391 "image": "photos/none.png" does not exist',
        "photos/pipe.png": "E393",
        "photos/folder.png": "E393",
        "photos/empty.png": "E395",
        "photos/huge.png": "E388",
        "photos/c.pdf": "E385",
        "photos/d.txt": "E385",
        "photos/large.png": "E394",
        "a\0b": "E389",
    }
    documents = {"photos/a.png": "E386", "photos/x.bin": "E387"}
    rows = [{"prompt": "x", "image": f"@{place}"} for place in images]
    rows += [{"prompt": "x", "document": f"@{place}"} for place in documents]
    world.write("in.jsonl", [*rows, {"prompt": "x", "image": "@photos/inner.png"}])
    done = world.claudebatch(*RUN)
    assert (done.code, api.requests) == (2, 0), done.err
    for number, expected in enumerate([*images.values(), *documents.values()], 1):
        assert f"in.jsonl:{number}: {expected}" in done.err
    assert f"{len(rows)} lines cannot be sent" in done.err


def test_files_lie_below_the_folder_of_the_input_or_the_one_that_is_named(world, api, photos):
    world.path("rows").mkdir()
    world.path("rows/in.jsonl").write_text(
        json.dumps({"prompt": "x", "image": "@photos/a.png"}) + "\n"
    )
    run = ("run", "rows/in.jsonl", "-o", "out.jsonl", "-m", "haiku", "-q")
    assert "E391" in world.claudebatch(*run).err
    assert world.claudebatch(*run, "--files-root", ".").code == 0
    # A file that was merely found may not open the disk.
    world.configure("files_root: /\n")
    assert "files_root cannot be set by a file found" in world.claudebatch(*run).err


def test_the_estimate_counts_pixels_and_pages(world, photos):
    (photos / "large.png").write_bytes(png(1120, 1120))

    def tokens(row: dict[str, object]) -> int:
        world.write("in.jsonl", [row])
        done = world.claudebatch("estimate", "in.jsonl", "-m", "haiku", "--json")
        found: int = json.loads(done.out)["routes"][0]["input_tokens"]
        return found

    words = tokens({"prompt": "x"})
    # The blocks themselves are a few tokens.
    image = tokens({"prompt": "x", "image": "@photos/large.png"}) - words
    assert 1600 <= image <= 1660
    document = tokens({"prompt": "x", "document": "@photos/c.pdf"}) - words
    assert 7000 <= document <= 7060


def test_a_killed_run_goes_on_with_the_same_files(processes, serve, photos):
    world = processes
    slow = serve(script=("ok", "hang"))
    world.write("in.jsonl", [{"id": n, "prompt": "x", "image": f"@photos/{n}.png"} for n in "ab"])
    process = world.launch(*RUN, "-j", "1")
    world.until(lambda: slow.requests == 2)
    process.send(signal.SIGKILL)
    process.wait()
    api = serve()
    assert world.claudebatch(*RUN).code == 0
    assert (api.requests, set(world.results())) == (1, {"a", "b"})
