"""Everything that the SDK and the wire can do, one line each, and what it means for the
row, the money and the run.
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from typing import Any

import pytest

from claudebatch.core.errors import (
    AccountRefused,
    AttemptError,
    Blocked,
    NotServed,
    PathFault,
    RateLimited,
)
from tests.clients.wire import AT_ONCE, BODY, RESET, Step, head, http, refusal

JSON = "content-type: application/json"
HTML = "content-type: text/html; charset=utf-8"


@dataclass(frozen=True)
class Fate:
    """What an error means."""

    kind: type[Exception]
    retryable: bool = False
    billed: bool = False
    unavailable: bool = False


GZIP_BOMB = gzip.compress(bytes(10**8), 1)

ROW = Fate(AttemptError)  # this row only, and for good
AGAIN = Fate(AttemptError, retryable=True)
DOWN = Fate(
    AttemptError, retryable=True, unavailable=True
)  # the model's fault: counts for its breaker
LOST = Fate(
    AttemptError, retryable=True, billed=True, unavailable=True
)  # nobody knows whether it was done
OTHER = Fate(NotServed)  # another model's chance
WAIT = Fate(RateLimited, retryable=True)
ACCOUNT = Fate(AccountRefused)
# Something else answers in the API's place: no row fails for it.
PATH = Fate(PathFault, retryable=True, unavailable=True)
# A firewall's, unless others get the same and none is answered.
BLOCKED = Fate(Blocked, retryable=True)


@dataclass(frozen=True)
class Line:
    """One line of the table: what the server does, and what becomes of it."""

    name: str
    does: tuple[Step, ...]
    fate: Fate
    type: str = ""
    status: int | None = None


def said(
    status: int, type_: str | None, fate: Fate, *, told: str | None = None, **more: Any
) -> Line:
    """An error answer of the API; *told*: the type that comes out, where it is
    another.
    """
    answer = refusal(
        status, type_, more.get("message", "no."), more.get("code"), *more.get("lines", ())
    )
    name = " ".join(str(word) for word in (status, type_, *more.values()))
    return Line(name[:70], (answer,), fate, told or type_ or "", status)


NO, YES = ("x-should-retry: false",), ("x-should-retry: true",)
INVALID, API, LIMIT = "invalid_request_error", "api_error", "rate_limit_error"

STATUSES = [
    said(400, INVALID, ROW),
    said(400, INVALID, ROW, lines=NO),
    said(400, INVALID, AGAIN, lines=YES),
    said(400, INVALID, ROW, code="image_dimensions_too_large"),
    said(400, INVALID, ROW, code="tool_name_conflict"),
    said(400, INVALID, ACCOUNT, code="organization_on_hold"),
    said(
        400,
        INVALID,
        ACCOUNT,
        message="You have reached your specified API usage limits. You will regain",
    ),
    said(
        400, INVALID, ACCOUNT, message="You have reached your specified workspace API usage limits."
    ),
    said(400, INVALID, ACCOUNT, message="Your credit balance is too low to access the API."),
    said(
        400, INVALID, OTHER, message="prompt is too long: 3333404 tokens > 200000 maximum", lines=NO
    ),
    said(
        400,
        INVALID,
        OTHER,
        message="input length and `max_tokens` exceed context limit: 9 + 9 > 10",
    ),
    said(400, INVALID, ROW, message="messages.0: a prompt is too long"),
    *(
        said(400, INVALID, ACCOUNT, code=code)
        for code in (
            "cmek_key_disabled",
            "cmek_key_network_blocked",
            "claude_code_key_creator_not_member",
        )
    ),
    said(401, "authentication_error", ACCOUNT),
    said(402, "billing_error", ACCOUNT),
    said(402, "billing_error", ACCOUNT, code="linked_organization_suspended"),
    said(403, "permission_error", ACCOUNT),
    said(404, "not_found_error", OTHER, lines=NO),
    said(405, INVALID, ROW),
    said(408, "timeout_error", Fate(AttemptError, retryable=True, billed=True)),
    said(409, "conflict_error", AGAIN),
    said(409, "conflict_error", ROW, lines=NO),
    said(410, INVALID, ROW),
    said(412, INVALID, ROW),
    said(413, "request_too_large", ROW),
    said(413, INVALID, ROW, code="request_body_too_large_after_decoding"),
    said(418, INVALID, ROW),
    said(422, INVALID, ROW),
    said(429, LIMIT, WAIT),
    said(429, LIMIT, WAIT, lines=YES),
    said(429, LIMIT, WAIT, lines=NO),
    said(429, LIMIT, WAIT, code="ramp_limit_exceeded", told="ramp_limit_exceeded"),
    said(429, LIMIT, ACCOUNT, code="enforced_spend_limit_reached", lines=YES),
    said(429, LIMIT, ACCOUNT, code="contract_spend_limit_reached", lines=YES),
    said(431, INVALID, ROW),
    said(499, INVALID, ROW),
    said(500, API, DOWN),
    said(500, API, Fate(AttemptError, unavailable=True), lines=NO),
    said(501, API, DOWN),
    said(502, API, DOWN),
    said(503, API, DOWN),
    said(503, API, DOWN, code="cmek_key_unreachable"),
    said(504, "timeout_error", LOST),
    said(520, API, DOWN),
    said(529, "overloaded_error", DOWN),
    said(529, "overloaded_error", DOWN, code="compaction_unavailable"),
    said(529, "overloaded_error", Fate(AttemptError, unavailable=True), lines=NO),
    said(599, API, DOWN),
]

# Errors whose bodies are not the API's: what the status says is what counts.
FOREIGN = [
    Line(
        "413 of the edge, another shape",
        (http(413, b'{"error":{"message":"Request exceeds"}}', JSON),),
        ROW,
        "request_too_large",
        413,
    ),
    Line(
        "413 before the request is read",
        (AT_ONCE, refusal(413, "request_too_large")),
        ROW,
        "request_too_large",
        413,
    ),
    Line(
        "413 as a page",
        (http(413, b"<html>413</html>", "content-type: text/html"),),
        ROW,
        "request_too_large",
        413,
    ),
    Line(
        "404 as a page",
        (http(404, b"<html>", "content-type: text/html"),),
        PATH,
        "not_the_api",
        404,
    ),
    *(
        Line(f"{status} of {name}", (http(status, body, *lines),), fate, told, status)
        for status, name, body, lines, fate, told in (
            (404, "another API", b'{"detail":"Not Found"}', (JSON,), PATH, "not_the_api"),
            (404, "nobody", b"", (), PATH, "not_the_api"),
            (404, "the API, body lost", b"", ("request-id: req_h",), OTHER, "not_found_error"),
            (407, "a proxy", b"<html>log in", (HTML,), PATH, "not_the_api"),
            (511, "a portal", b"<html>log in", (HTML,), PATH, "not_the_api"),
            (421, "a server for other hosts", b"", (), PATH, "not_the_api"),
            (425, "a proxy that is too early", b"", (), PATH, "not_the_api"),
            (403, "a firewall", b"<html>Attention!", (HTML,), BLOCKED, "blocked"),
            (403, "one with ids", b"<html>No!", (HTML, "request-id: r"), BLOCKED, "blocked"),
            (403, "a JSON firewall", b'{"message":"Forbidden"}', (JSON,), BLOCKED, "blocked"),
            (406, "ModSecurity", b"<html>Not Acceptable", (HTML,), BLOCKED, "blocked"),
            (451, "a filter", b"", (), BLOCKED, "blocked"),
            (405, "a web server", b"<!DOCTYPE html>no", (), BLOCKED, "blocked"),
            (400, "a web server", b"<html>Bad Request", (HTML,), BLOCKED, "blocked"),
            (400, "a gateway", b'{"error":{"message":"no"}}', (JSON,), ROW, INVALID),
            (422, "a gateway", b'{"detail":"no"}', (JSON,), ROW, INVALID),
        )
    ),
    Line("403 of the API, body lost", (http(403, b"", "request-id: req_h"),), ACCOUNT),
    Line("401 of anybody", (http(401, b"<html>", "content-type: text/html"),), ACCOUNT),
    Line("502 as a page", (http(502, b"<html>Bad gateway</html>"),), DOWN, API, 502),
    Line("529 without a body", (http(529, b""),), DOWN, "overloaded_error", 529),
    Line(
        "529 that breaks off",
        (head(529, "content-length: 99") + b"Over",),
        DOWN,
        "overloaded_error",
        529,
    ),
    Line(
        "500 with a reset after its head",
        (head(500, "content-length: 9"), 0.05, RESET),
        DOWN,
        API,
        500,
    ),
    Line("500 with a body of no JSON type", (http(500, b'[1,{"error":5}]', JSON),), DOWN, API, 500),
    Line(
        "500 with an error that is a string", (http(500, b'{"error":"oh"}', JSON),), DOWN, API, 500
    ),
    Line(
        "500 with a type that is a number",
        (http(500, b'{"error":{"type":5,"message":7}}', JSON),),
        DOWN,
        API,
        500,
    ),
    Line("500 with bytes that are no text", (http(500, b"\xff\xfe\x00", JSON),), DOWN, API, 500),
    Line(
        "500 said to be gzip",
        (http(500, b"not gzip", JSON, "content-encoding: gzip"),),
        DOWN,
        API,
        500,
    ),
    Line(
        "500 that unpacks to 100 MB",
        (http(500, GZIP_BOMB, "content-encoding: gzip"),),
        DOWN,
        API,
        500,
    ),
    Line(
        "401 that unpacks to 100 MB",
        (http(401, GZIP_BOMB, "content-encoding: gzip"),),
        ACCOUNT,
    ),
    *(
        Line(
            f"{status}",
            (http(status, b"", "location: https://elsewhere.test/"),),
            PATH,
            "redirected",
            status,
        )
        for status in (301, 302, 303, 307, 308)
    ),
    # Bytes that are no UTF-8 fail in the SDK's transport, behind which the status is
    # out of reach: such an answer counts as lost, at its worst case, and is asked
    # again.
    Line(
        "400 with a reason in UTF-8",
        (http(400, b"{}").replace(b" 400 ", " 400 Ungültig ".encode()),),
        ROW,
        INVALID,
        400,
    ),
    Line(
        "400 with a reason in Latin-1",
        (http(400, b"{}").replace(b" 400 ", " 400 Ungültig ".encode("latin-1")),),
        LOST,
        "connection_error",
        None,
    ),
    Line("304", (http(304, b""),), PATH, "redirected", 304),
]

BAD = "bad_answer"
BOMB = zlib.compress(bytes(100 * 2**20), 1)

# A success that is none.
BODIES = [
    Line("200 cut in JSON", (http(200, BODY[:-9], JSON),), LOST, BAD, 200),
    Line(
        "200 with HTML",
        (http(200, b"<html>hello</html>", "content-type: text/html"),),
        PATH,
        BAD,
        200,
    ),
    Line(
        "200 with HTML and no type",
        (http(200, b"\xef\xbb\xbf <!-- hi --><!doctype html><p>hello"),),
        PATH,
        BAD,
        200,
    ),
    Line(
        "200 with HTML behind the API",
        (http(200, b"<html>hello</html>", "content-type: text/html", "request-id: req_h"),),
        Fate(PathFault, retryable=True, billed=True, unavailable=True),
        BAD,
        200,
    ),
    *(
        Line(f"200 with {name}", (http(200, page, *lines),), PATH, BAD, 200)
        for name, page, *lines in (
            ("a page called JSON", b"\xef\xbb\xbf \n<!DOCTYPE html><p>Log in", JSON),
            ("a page in UTF-16", "<html>Anmelden</html>".encode("utf-16"), JSON),
            ("text called a page", b"Please log in", "content-type: Text/HTML; charset=utf-8"),
            ("XML", b"<?xml version='1.0'?><Error/>", "content-type: application/xml"),
        )
    ),
    *(
        Line(f"200 with {name}", (http(200, page, *lines),), LOST, BAD, 200)
        for name, page, *lines in (
            ("no page, but its type", b"", "content-type: text/html"),
            ("a cut answer called a page", BODY[:-9], "content-type: text/html"),
            ("text", b"upstream connect error", "content-type: text/plain"),
        )
    ),
    *(
        Line(f"200 with {name}", (http(200, body, JSON),), LOST, BAD, 200)
        for name, body in (("null", b"null"), ("an empty object", b"{}"), ("a list", b"[]"))
    ),
    Line("200 with nothing", (http(200, b""),), LOST, BAD, 200),
    Line("204", (http(204, b""),), LOST, BAD, 204),
    Line(
        "200 with a batch", (http(200, b'{"type":"message_batch","id":"b"}', JSON),), LOST, BAD, 200
    ),
    Line(
        "200 with an error",
        (http(200, b'{"type":"error","error":{"type":"api_error"}}', JSON),),
        LOST,
        BAD,
        200,
    ),
    Line(
        "200 with a refusal",
        (http(200, b'{"type":"error","error":{"type":"invalid_request_error"}}', JSON),),
        Fate(AttemptError, billed=True),
        INVALID,
        200,
    ),
    *(
        Line(
            f"200 of {name}",
            (http(200, body, JSON),),
            Fate(PathFault, retryable=True, billed=True, unavailable=True),
            BAD,
            200,
        )
        for name, body in (
            ("another API", b'{"object":"chat.completion","choices":[]}'),
            ("a queue", b'{"status":"queued"}'),
        )
    ),
    Line("200 of 100 MB", (http(200, bytes(100 * 2**20), JSON),), LOST, BAD, 200),
    Line(
        "200 that unpacks to 100 MB",
        (http(200, BOMB, "content-encoding: deflate"),),
        LOST,
        BAD,
        200,
    ),
    Line("200 said to be gzip", (http(200, BODY, JSON, "content-encoding: gzip"),), LOST, BAD, 200),
    Line(
        "200 with gzip cut short",
        (http(200, gzip.compress(BODY)[:-20], "content-encoding: gzip"),),
        LOST,
        BAD,
        200,
    ),
    Line(
        "200 with a message_start only",
        (http(200, b"event: message_start\ndata: {}\n\n", JSON),),
        LOST,
        BAD,
        200,
    ),
]

GONE = "connection_error"
UNREAD = "bad_answer"  # something came, and it cannot be read as HTTP

CONNECTION = [
    Line("closed before the head", (b"",), LOST, GONE),
    Line("closed in the head", (b"HTTP/1.1 200 OK\r\ncontent-",), LOST, GONE),
    Line("reset before the head", (RESET,), LOST, GONE),
    Line("reset after the head", (head(200, "content-length: 500", JSON), 0.05, RESET), LOST, GONE),
    Line(
        "reset in the body",
        (head(200, f"content-length: {len(BODY)}", JSON) + BODY[:50], 0.05, RESET),
        LOST,
        GONE,
    ),
    Line(
        "content-length too long",
        (head(200, f"content-length: {len(BODY) + 7}", JSON) + BODY,),
        LOST,
        GONE,
    ),
    Line(
        "chunks cut short",
        (head(200, "transfer-encoding: chunked") + b"ff\r\n" + BODY[:20],),
        LOST,
        GONE,
    ),
    Line(
        "chunks of no number",
        (head(200, "transfer-encoding: chunked") + b"zz\r\n" + BODY,),
        LOST,
        UNREAD,
    ),
    Line("not HTTP", (b"220 smtp.example.test ESMTP\r\n",), LOST, UNREAD),
    Line("not HTTP, and at once", (AT_ONCE, b"\x15\x03\x01\x00\x02\x02\x28"), LOST, UNREAD),
    Line("more behind the last answer", (http(200, BODY) + b"more",), LOST, UNREAD),
    Line(
        "a content-length of no number", (head(200, "content-length: many") + BODY,), LOST, UNREAD
    ),
    Line(
        "two content-lengths",
        (head(200, "content-length: 5", "content-length: 500") + BODY,),
        LOST,
        UNREAD,
    ),
    Line(
        "a head of a megabyte",
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 2**20 + b"\r\n\r\n",),
        LOST,
        UNREAD,
    ),
]

TABLE = STATUSES + FOREIGN + BODIES + CONNECTION


async def ending(client, call):
    try:
        return await client(call)
    except (AttemptError, AccountRefused) as error:
        return error


def check(error: Any, fate: Fate) -> None:
    assert type(error) is fate.kind
    if isinstance(error, AttemptError):
        found = (error.retryable, error.may_be_billed, error.unavailable)
        assert found == (fate.retryable, fate.billed, fate.unavailable)


@pytest.mark.parametrize("line", TABLE, ids=lambda line: line.name)
async def test_everything_that_can_happen_has_one_meaning(line, wire, connect, call):
    wire.does(*line.does)
    error = await ending(connect(wire.url), call())
    check(error, line.fate)
    if isinstance(error, AttemptError):
        assert (error.type, error.status) == (line.type, line.status)
    assert len(error.message) <= 2100, "no page of a proxy goes into the journal as a whole"
    assert len(wire.requests) <= 1, "the SDK does not retry on its own"


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (
            None,
            "This request would exceed the rate limit of 20,000 input tokens per minute.",
            "rate",
        ),
        ("ramp_limit_exceeded", "Your usage grows too fast.", "ramp"),
        ("ramp_limit_exceeded", "Too many concurrent requests.", "ramp"),
        (
            None,
            "Number of concurrent connections has exceeded your rate limit. Please try again "
            "later.",
            "concurrency",
        ),
        (None, "Too many Concurrent requests", "concurrency"),
        ("something_new", "no.", "rate"),
    ],
)
async def test_a_429_says_what_there_was_too_much_of(wire, connect, call, code, message, kind):
    wire.does(refusal(429, "rate_limit_error", message, code))
    error = await ending(connect(wire.url), call())
    assert (error.kind, error.type) == (kind, code or "rate_limit_error")


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("-5", None),
        ("0", None),
        ("1000000000", 1e9),
        ("NaN", None),
        ("0.5", 0.5),
        (None, None),
        ("inf", None),
    ],
)
async def test_no_retry_after_can_be_taken_for_a_time_that_it_is_not(
    wire, connect, call, told, seconds
):
    wire.does(
        refusal(
            429,
            "rate_limit_error",
            "no.",
            None,
            *([] if told is None else [f"retry-after: {told}"]),
        )
    )
    assert (await ending(connect(wire.url), call())).retry_after == seconds


async def test_a_redirect_names_where_it_leads_and_what_to_do(wire, connect, call):
    wire.does(http(301, b"", "location: https://elsewhere.test/v1/messages"))
    error = await ending(connect(wire.url), call())
    assert "https://elsewhere.test/v1/messages" in error.message
    assert "ANTHROPIC_BASE_URL" in error.message
