"""Every broken connection says its cause; certain ones end the run after the second
try, as long as nothing was ever answered.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
from types import SimpleNamespace

import aiohttp
import pytest

from claudebatch.clients.connection_faults import CertainFaults, ConnectionFault, explain
from claudebatch.clients.network_route import NetworkRoute
from claudebatch.core.errors import AttemptError, ExitCode, Unreachable
from tests.clients.wire import BODY, RESET, head, http

HOST = SimpleNamespace(host="gw.corp.test", port=443, ssl=True, is_ssl=True)
HERE = SimpleNamespace(host="127.0.0.1", port=8080, ssl=True, is_ssl=True)
VIA = NetworkRoute(proxy="http://u:pass-word@proxy.test:3128", proxy_from="https_proxy")


def certificate(code: int, message: str) -> Exception:
    error = ssl.SSLCertVerificationError(1, "x")
    error.verify_code, error.verify_message = code, message
    return aiohttp.ClientConnectorCertificateError(HOST, error)  # type: ignore[arg-type]


def no_connection(error: OSError, host: SimpleNamespace = HOST) -> Exception:
    return aiohttp.ClientConnectorError(host, error)  # type: ignore[arg-type]


def proxy_says(status: int) -> Exception:
    info = SimpleNamespace(real_url="https://x")
    return aiohttp.ClientHttpProxyError(info, (), status=status, message="no")  # type: ignore[arg-type]


NOT_TLS = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")
NOT_TLS.reason = "WRONG_VERSION_NUMBER"
CASES = {
    "self-signed": (
        certificate(18, "self-signed certificate"),
        "certificate of gw",
        "SSL_CERT_FILE",
    ),
    "other name": (certificate(62, "Hostname mismatch"), "Hostname mismatch", "ANTHROPIC_BASE_URL"),
    "expired": (certificate(10, "certificate has expired"), "has expired", "clock"),
    "no such name": (
        no_connection(socket.gaierror(socket.EAI_NONAME, "Name or service not known")),
        "gw.corp.test: no such host",
        "ANTHROPIC_BASE_URL",
    ),
    "nobody here": (
        no_connection(ConnectionRefusedError(111, "refused"), HERE),
        "nothing listens on 127.0.0.1:8080",
        "start what should listen there",
    ),
    "407": (proxy_says(407), "proxy of https_proxy wants a user", "https_proxy: http://USER"),
    "403 of the proxy": (proxy_says(403), "proxy of https_proxy answers 403", "NO_PROXY"),
    "plain http": (
        aiohttp.ClientConnectorSSLError(HOST, NOT_TLS),  # type: ignore[arg-type]
        "does not speak TLS: wrong version number",
        "plain http?",
    ),
    "the proxy's name": (
        aiohttp.ClientProxyConnectionError(
            SimpleNamespace(host="proxy.test", port=3128),  # type: ignore[arg-type]
            socket.gaierror(socket.EAI_NONAME, "x"),
        ),
        "the proxy proxy.test:3128 of https_proxy: no such host",
        "check https_proxy",
    ),
}
PASSING = {
    "resolver down": (no_connection(socket.gaierror(socket.EAI_AGAIN, "try again")), "looked up"),
    "refused elsewhere": (no_connection(ConnectionRefusedError(111, "x")), "nothing listens on gw"),
    "unreachable": (no_connection(OSError(113, "No route to host")), "No route to host"),
    "too many files": (no_connection(OSError(24, "x")), "has too many open files"),
    "502 of the proxy": (proxy_says(502), "answers 502"),
    "disconnected": (aiohttp.ServerDisconnectedError(), "closed the connection"),
    "reset": (ConnectionResetError(104, "Connection reset by peer"), "reset by peer"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_certain_fault_names_what_is_wrong_and_where_to_change_it(case):
    error, text, fix = CASES[case]
    fault = explain(error, VIA)
    assert text in fault.text and fix in fault.fix and fault.certain
    assert "pass-word" not in fault.text + fault.fix


@pytest.mark.parametrize("case", PASSING)
def test_a_fault_that_may_pass_is_told_and_waited_out(case):
    error, text = PASSING[case]
    wrapper = RuntimeError("Connection error.")
    wrapper.__cause__ = error
    fault = explain(wrapper, VIA)
    assert text in fault.text and not fault.certain


def test_the_hint_for_a_certificate_knows_what_is_set_already():
    error = CASES["self-signed"][0]
    own = NetworkRoute(certificates="/ca.pem", certificates_from="SSL_CERT_FILE")
    assert "now it is SSL_CERT_FILE=/ca.pem" in explain(error, own).fix
    assert (
        "REQUESTS_CA_BUNDLE is not read"
        in explain(error, NetworkRoute(unread=("REQUESTS_CA_BUNDLE",))).fix
    )


def test_requests_that_left_together_are_one_try_and_an_answer_ends_the_counting():
    certain, passing = ConnectionFault("x", certain=True), ConnectionFault("y")
    faults = CertainFaults()
    assert not faults.ends_run(certain, began=0.0, now=1.0)
    assert not faults.ends_run(certain, began=0.5, now=1.5), "it left before the first failed"
    assert not faults.ends_run(passing, began=2.0, now=2.5)
    assert faults.ends_run(certain, began=2.0, now=2.5)
    established = CertainFaults()
    established.answered()
    assert not any(established.ends_run(certain, began=n, now=n + 0.5) for n in range(9))


async def test_nobody_listening_here_ends_the_run_at_the_second_try(connect, call):
    client = connect("http://127.0.0.1:1")
    with pytest.raises(AttemptError, match="no answer: nothing listens on") as first:
        await client(call())
    assert first.value.retryable and not first.value.may_be_billed
    with pytest.raises(Unreachable, match="nothing listens on") as second:
        await client(call())
    assert second.value.exit_code is ExitCode.USAGE


async def test_after_an_answer_the_same_is_an_outage(connect, call, wire):
    client = connect(wire.url)
    wire.does(http(529, b"{}"))
    with pytest.raises(AttemptError):
        await client(call())
    wire.does(RESET)
    for _ in range(3):
        with pytest.raises(AttemptError) as caught:
            await client(call())
        assert caught.value.type == "connection_error"


@pytest.fixture
def self_signed(tmp_path):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("certificates are made with openssl")
    key, pem = tmp_path / "key.pem", tmp_path / "cert.pem"
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext"
    subprocess.run(
        [openssl, *words.split(), "subjectAltName=DNS:localhost", "-keyout", key, "-out", pem],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    return context


@pytest.mark.parametrize(
    ("name", "words"), [("localhost", "certificate of localhost"), ("127.0.0.1", "certificate of")]
)
async def test_a_certificate_that_is_not_trusted_ends_the_run_at_the_second_try(
    connect, call, self_signed, name, words
):
    async def accept(reader, writer):
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=self_signed)
    client = connect(f"https://{name}:{server.sockets[0].getsockname()[1]}")
    with pytest.raises(AttemptError, match=words):
        await client(call())
    with pytest.raises(Unreachable, match=words):
        await client(call())
    server.close()


LONG = "x-trace: " + "t" * 20_000
MANY = [f"x-header-{n}: {n}" for n in range(300)]


@pytest.mark.parametrize("lines", [[LONG], MANY, ["set-cookie: " + "c" * 60_000]])
async def test_long_and_many_headers_of_a_gateway_are_read(connect, call, wire, lines):
    wire.does(http(200, BODY, "content-type: application/json", *lines))
    assert (await connect(wire.url)(call())).stop_reason == "end_turn"


@pytest.mark.parametrize(
    "lines",
    [
        [f"content-length: {len(BODY)}", f"content-length: {len(BODY)}"],
        [f"content-length: {len(BODY)}", "transfer-encoding: chunked"],
        ["x-trace: " + "t" * 2_000_000],
        ["no header at all"],
    ],
)
async def test_an_answer_that_is_no_http_is_tried_twice_and_no_more(connect, call, wire, lines):
    wire.does(head(200, *lines) + BODY)
    client = connect(wire.url)
    for retryable in (True, False):
        with pytest.raises(AttemptError, match="answer cannot be read as HTTP") as caught:
            await client(call())
        assert caught.value.retryable is retryable
        assert caught.value.may_be_billed and caught.value.type == "bad_answer"
        assert len(caught.value.message) <= 220


async def test_a_change_of_protocol_is_no_redirect(connect, call, wire):
    wire.does(
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"
    )
    with pytest.raises(AttemptError) as caught:
        await connect(wire.url)(call())
    assert "sends us elsewhere" not in caught.value.message
    assert "101" in caught.value.message
