"""A line may name files and addresses as much as it likes: nothing is opened and nobody
is called for it.
"""

from __future__ import annotations

import sys

import pytest

SECRET = "content of a file that nobody asked for"
_seen: list[tuple[str, object]] = []
_watching = [False]


def _hook(event, arguments):
    if _watching[0] and event in (
        "open",
        "socket.connect",
        "socket.getaddrinfo",
        "subprocess.Popen",
        "os.system",
    ):
        _seen.append((event, arguments[1] if event == "socket.connect" else arguments[0]))


@pytest.fixture
def watched():
    """Every file that is opened and every address that is called from now on."""
    if not getattr(sys, "_claudebatch_watch", False):
        sys.addaudithook(_hook)  # for good: there is no way to take one off again
        sys._claudebatch_watch = True
    _seen.clear()
    _watching[0] = True
    yield _seen
    _watching[0] = False


def user(*blocks):
    return [{"role": "user", "content": list(blocks)}]


def source(kind, **more):
    return {"type": "image", "source": {"type": kind, **more}}


def lines(secret):
    """Lines that hope for somebody who opens what they name."""
    names = [
        str(secret),
        f"file://{secret}",
        f"@{secret}",
        "/etc/passwd",
        "../../secret",
        "/dev/zero",
        "/proc/self/environ",
    ]
    urls = [
        "http://169.254.169.254/latest",
        "http://localhost:1/",
        "https://evil.test/x",
        "gopher://evil.test",
        *names,
    ]
    for name in names:
        yield {"prompt": f"@{name}"}
        yield {"prompt": name}
        yield {"messages": user({"type": "text", "text": name})}
        for field in (
            "file",
            "path",
            "attachments",
            "images",
            "prompt_file",
            "system_file",
            "template",
            "include",
        ):
            yield {"prompt": "hi", field: name}
        for kind in ("file", "path", "base64"):
            for key in ("path", "file", "file_id", "data", "filename"):
                yield {"messages": user(source(kind, **{key: name, "media_type": "image/png"}))}
        yield {"messages": user({"type": "document", "source": {"type": "file", "file_id": name}})}
        yield {"prompt": "hi", "system": f"@{name}"}
    for url in urls:
        yield {"messages": user(source("url", url=url))}
        yield {"messages": user({"type": "document", "source": {"type": "url", "url": url}})}
        body = {
            "model": "gpt-4o",
            "messages": user({"type": "image_url", "image_url": {"url": url}}),
        }
        yield {"custom_id": "o", "method": "POST", "url": "/v1/chat/completions", "body": body}


def numbered(secret):
    return [
        {**line, "custom_id" if "custom_id" in line else "id": f"r{n}"}
        for n, line in enumerate(lines(secret))
    ]


def test_what_a_line_names_is_passed_on_or_refused_and_never_opened_or_fetched(
    world, serve, watched, monkeypatch
):
    monkeypatch.setattr(
        "tests.e2e.conftest.check_body", lambda body: None
    )  # made to be refused by the API
    api = serve()
    secret = world.folder / "secret"
    secret.write_text(SECRET)
    world.write("in.jsonl", numbered(secret))
    watched.clear()
    done = world.claudebatch(
        "run", "in.jsonl", "-o", "out.jsonl", "--on-bad-row", "skip", "--no-cache", "--yes"
    )
    assert done.code in (0, 1), done.err
    assert api.requests > 30, "some of them go out, as they are"
    opened = {str(what) for event, what in watched if event == "open"}
    named = {"/etc/passwd", "/dev/zero", "/proc/self/environ", str(secret)}
    assert opened & named == set()
    assert not [name for name in opened if name.endswith("secret")]
    port = int(api.url.rsplit(":", 1)[1])
    called = {what for event, what in watched if event == "socket.connect"}
    assert called <= {("127.0.0.1", port)}
    asked = {str(what) for event, what in watched if event == "socket.getaddrinfo"}
    assert asked <= {"127.0.0.1"}
    assert not [event for event, _ in watched if event in ("subprocess.Popen", "os.system")]
    assert SECRET not in world.path("out.jsonl").read_text() + done.out + done.err
    assert SECRET not in str(api.bodies)


def test_an_image_is_measured_by_its_head_and_never_unpacked(world):
    """A picture of 65,535 x 65,535 points in 60 bytes is a row like another one."""
    import base64
    import struct

    head = (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 65535, 65535, 8, 6, 0, 0, 0)
        + b"\0" * 8
    )
    picture = source("base64", media_type="image/png", data=base64.b64encode(head).decode())
    world.write("in.jsonl", [{"id": "a", "messages": user(picture)}])
    done = world.claudebatch("run", "in.jsonl", "--dry-run", "--json")
    assert done.code == 0, done.err
    assert not [name for name in sys.modules if name.startswith(("PIL", "imageio"))]


def test_the_watch_would_see_it(watched, tmp_path):
    (tmp_path / "secret").write_text("x")
    assert any(str(what).endswith("secret") for _, what in watched)
