"""What never left is never taken for billed, and nobody gets the key who cannot show
who he is.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess

import pytest

from tests.clients.test_wire_table import DOWN, check, ending
from tests.clients.wire import AT_ONCE, http


async def unresolved() -> str:
    return "https://no-such-host.invalid"


async def refused() -> str:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        return f"https://127.0.0.1:{gone.getsockname()[1]}"


@pytest.mark.parametrize("where", [unresolved, refused])
async def test_what_never_left_is_not_billed(where, connect, call):
    error = await ending(connect(await where()), call())
    check(error, DOWN)
    assert (error.type, error.status) == ("connection_error", None)


async def test_a_server_whose_tls_fails_was_never_sent_the_key(wire, connect, call):
    wire.does(AT_ONCE, b"HTTP/1.1 400 Bad Request\r\n\r\n")
    error = await ending(connect(wire.url.replace("http:", "https:")), call())
    check(error, DOWN)
    assert wire.requests == []


async def test_what_a_proxy_refuses_never_left(wire, connect, call, monkeypatch):
    """The key travels inside the tunnel; where there is none, nothing does."""
    monkeypatch.setenv("HTTPS_PROXY", wire.url)
    client = connect("https://api.example.test")
    for status in (407, 502):
        wire.does(AT_ONCE, http(status, b"no"))
        check(await ending(client, call()), DOWN)
    monkeypatch.setenv("HTTPS_PROXY", (await refused()).replace("https", "http"))
    check(await ending(connect("https://api.example.test"), call()), DOWN)


@pytest.fixture
def self_signed(tmp_path):
    """A certificate that nobody has signed but itself."""
    if (openssl := shutil.which("openssl")) is None:
        pytest.skip("no openssl to make a certificate with")
    made = [
        openssl,
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "key",
        "-out",
        "cert",
        "-subj",
        "/CN=x",
    ]
    subprocess.run(made, cwd=tmp_path, check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    return context


async def test_a_certificate_that_cannot_be_trusted_is_an_error_and_gets_no_key(
    self_signed, connect, call
):
    heard = []

    async def serve(reader, writer):
        heard.append(await reader.read())
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=self_signed)
    async with listening:
        error = await ending(
            connect(f"https://localhost:{listening.sockets[0].getsockname()[1]}"), call()
        )
    check(error, DOWN)
    assert "certificate" in error.message.lower()
    assert b"".join(heard) == b""
