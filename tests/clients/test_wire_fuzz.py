"""Whatever bytes come for an answer, the attempt ends in a reply or in an error that
the layers above understand.

CLAUDEBATCH_FUZZ_CASES=100000 makes a night of it.
"""

from __future__ import annotations

import asyncio
import gzip
import os
import random
import warnings

from claudebatch.clients.wire_format import STREAM_ABOVE
from claudebatch.core.domain import Reply
from claudebatch.core.errors import AttemptError, StopRun
from tests.clients.wire import BODY, STREAM_HEAD, WHOLE, block, events, head, http, refusal
from tests.support.mutate import mutated

CASES = int(os.environ.get("CLAUDEBATCH_FUZZ_CASES", "400"))
CALLED = block(
    0, {"type": "tool_use", "input": {}}, {"type": "input_json_delta", "partial_json": '{"a": [1]}'}
)
STREAM = events(WHOLE[0], {"type": "ping"}, *WHOLE[1:])
CHUNKS = (
    b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (STREAM[:99], STREAM[99:]))
    + b"0\r\n\r\n"
)

SEEDS = [
    http(
        200,
        BODY,
        "content-type: application/json",
        "request-id: req_1",
        "anthropic-ratelimit-requests-limit: 50",
    ),
    http(200, gzip.compress(BODY), "content-encoding: gzip"),
    head(200, "transfer-encoding: chunked") + b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY),
    STREAM_HEAD + STREAM,
    STREAM_HEAD + events(WHOLE[0], *CALLED, *WHOLE[-2:]),
    head(200, "content-type: text/event-stream", "transfer-encoding: chunked") + CHUNKS,
    STREAM_HEAD
    + events(
        *WHOLE[:3],
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
    ),
    refusal(529, "overloaded_error"),
    refusal(
        429,
        "rate_limit_error",
        "no.",
        "ramp_limit_exceeded",
        "retry-after: 5",
        "x-should-retry: true",
    ),
    refusal(401, "authentication_error"),
    http(302, b"", "location: http://127.0.0.1:1/"),
]
TOKENS = [
    b"\r\n",
    b"\n\n",
    b"{",
    b"]",
    b'"',
    b"\\u",
    b"\xff",
    b"\x00",
    b"-1",
    b"9" * 30,
    b"null",
    b"data: ",
    b": ",
]
TOKENS += [b"[" * 2000, b"gzip", b"chunked", b"1e999", b"\xe2\x80\xa8"]


HEAD = 150
"""Bytes: status line and headers."""


def broken(rng: random.Random) -> bytes:
    """One of the seeds, nearly right."""
    return mutated(rng.choice(SEEDS), rng, tokens=TOKENS, front=HEAD)


async def test_whatever_bytes_come_the_attempt_ends_in_a_word_of_ours(wire, connect, call):
    client = connect(wire.url)
    calls = call(deadline_s=5.0), call(deadline_s=5.0, max_tokens=STREAM_ABOVE + 1)
    ends: dict[str, int] = {}
    for case in range(CASES):
        rng = random.Random(case)
        answer = broken(rng)
        cuts = sorted(rng.randrange(len(answer) + 1) for _ in range(rng.randrange(3)))
        wire.does(*(answer[a:b] for a, b in zip([0, *cuts], [*cuts, len(answer)], strict=True)))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                end: object = await client(rng.choice(calls))
        except (AttemptError, StopRun) as error:
            end = error
        except Exception as error:
            raise AssertionError(f"case {case}: {answer!r}") from error
        assert isinstance(end, Reply | AttemptError | StopRun)
        if isinstance(end, Reply):
            assert b"\n" not in end.message
            assert min(end.usage.input_tokens, end.usage.output_tokens) >= 0
        ends[type(end).__name__] = ends.get(type(end).__name__, 0) + 1
    assert ends["Reply"] > CASES / 20, ends
    assert ends["AttemptError"] > CASES / 3, ends


async def test_requests_of_many_broken_answers_leave_nothing_behind(wire, connect, call):
    client = connect(wire.url)
    before = len(asyncio.all_tasks())
    for case in range(40):
        wire.does(broken(random.Random(case)))
        await asyncio.gather(
            *(client(call(deadline_s=5.0)) for _ in range(4)), return_exceptions=True
        )
    async with asyncio.timeout(60):
        while any(not task.done() for task in wire.serving):
            await asyncio.sleep(0.01)
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) <= before
