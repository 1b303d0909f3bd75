"""Message Batches as the API has them: what stands in the documentation and in recorded
answers, and what goes wrong there.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from claudebatch.core.errors import ConfigError
from claudebatch.core.read_usage import read_usage
from claudebatch.models.prices import PriceBook
from claudebatch.simulator import SimulatedBatches, SimulatorSettings, parse_batch_time
from tests.simulator.conftest import request_bytes

RECORDED = Path(__file__).parents[2].parent / "shared" / "recorded"
PATH = "/v1/messages/batches"
FAST = "fixed:60"
HOUR, DAY = 3600.0, 86_400.0


def row(custom_id, prompt="What is 1 + 1?", **more):
    params = {
        "model": "claude-haiku-5-5",
        "max_tokens": 1024,
        "messages": [{"role": "user", "content": prompt}],
        **more,
    }
    return {"custom_id": custom_id, "params": params}


def rows(number, prompt="row"):
    return {"requests": [row(f"r-{n}", f"{prompt} {n}") for n in range(number)]}


def serving(serve, *, faults=None, script=(), **batches):
    settings = SimulatedBatches(**{"latency": FAST, **batches})
    return serve(batches=settings, faults=faults or {}, script=script)


async def created(served, body=None):
    made = await served.call("POST", PATH, body or rows(3))
    assert made.status == 200, made.body
    return made.json["id"]


async def ended(served, name, seconds=60):
    served.now.seconds += seconds
    got = (await served.call("GET", f"{PATH}/{name}")).json
    assert got["processing_status"] == "ended"
    return got


async def lines(served, name):
    heard = await served.call("GET", f"{PATH}/{name}/results")
    assert heard.status == 200, heard.body
    return [json.loads(line) for line in heard.body.splitlines()]


async def outcome(served, body, seconds=60):
    """Each row's result, by its id, of a batch of *body*."""
    name = await created(served, body)
    await ended(served, name, seconds)
    return {line["custom_id"]: line["result"] for line in await lines(served, name)}


async def test_a_batch_is_in_progress_with_no_counts_until_all_of_it_has_ended(serve):
    served = await serving(serve)
    name = await created(served)
    served.now.seconds += 59
    running = await served.call("GET", f"{PATH}/{name}")
    assert running.json["processing_status"] == "in_progress"
    assert running.json["request_counts"] == {
        "processing": 3,
        "succeeded": 0,
        "errored": 0,
        "canceled": 0,
        "expired": 0,
    }
    assert running.headers["retry-after"] == "10"
    assert running.json["results_url"] is running.json["ended_at"] is None
    early = await served.call("GET", f"{PATH}/{name}/results")
    assert (early.status, early.headers["x-should-retry"]) == (404, "false")
    assert early.json["error"]["message"] == (f"Message Batch {name} has no available results.")
    done = await ended(served, name, 1)
    assert done["request_counts"]["processing"] == 0
    assert done["request_counts"]["succeeded"] == 3
    assert done["results_url"] == f"http://127.0.0.1{PATH}/{name}/results"
    assert "retry-after" not in (await served.call("GET", f"{PATH}/{name}")).headers


async def test_results_are_the_answers_of_live_requests_in_any_order(serve, body):
    served = await serving(serve)
    name = await created(served, {"requests": [row(f"r-{n}", f"row {n}") for n in range(40)]})
    await ended(served, name)
    first, second = await lines(served, name), await lines(served, name)
    assert [line["custom_id"] for line in first] != [line["custom_id"] for line in second]
    for line in first:
        live = (await served.ask(body("row " + line["custom_id"].removeprefix("r-")))).json
        message = line["result"]["message"]
        assert message.pop("id") != live.pop("id")
        assert message["usage"].pop("service_tier") == "batch"
        assert live["usage"].pop("service_tier") == "standard"
        assert message == live


async def test_the_bill_is_half_of_the_live_one(serve, body):
    book = PriceBook.load(at=datetime(2026, 11, 22, tzinfo=UTC))
    served = await serve(bill=book.cost, batches=SimulatedBatches(latency=FAST))
    name = await created(served, {"requests": [row("a", "row", inference_geo="us")]})
    await ended(served, name)
    (line,) = await lines(served, name)
    stats = (await served.call("GET", "/__stats")).json
    usage, _ = read_usage(json.dumps(line["result"]["message"]["usage"]).encode(), wrote=True)
    assert stats["billed_pico"] == book.cost("claude-haiku-5-5", usage)
    assert stats["billed_pico"] == book.batch_cost("claude-haiku-5-5", usage) > 0
    assert stats["billed_undelivered_pico"] == 0


async def test_a_batch_that_nobody_looks_at_is_billed_all_the_same(serve):
    served = await serving(serve)
    await created(served)
    served.now.seconds += 60
    stats = (await served.call("GET", "/__stats")).json
    assert stats["billed_pico"] > 0
    assert stats["batches"] == {
        "made": 1,
        "ended": 1,
        "requests": 3,
        "succeeded": 3,
        "errored": 0,
        "canceled": 0,
        "expired": 0,
        "billed_again": 0,
    }


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        ({}, "requests: Field required"),
        ({"requests": []}, "at least 1 item"),
        ({"requests": 5}, "requests: Input does not match"),
        ({"requests": [row("a")], "name": "x"}, "name: Extra inputs are not permitted"),
        ({"requests": [row("a"), row("b"), row("a")]}, "Duplicate custom_id 'a'"),
        ({"requests": [row("a b")]}, "should match pattern"),
        ({"requests": [row("")]}, "should match pattern"),
        ({"requests": [row("a" * 65)]}, "should match pattern"),
        ({"requests": [{"params": {}}]}, "requests.0.custom_id: Field required"),
        ({"requests": [{"custom_id": "a"}]}, "requests.0.params: Field required"),
        ({"requests": [{"custom_id": "a", "params": 5}]}, "requests.0.params: Input should"),
        ({"requests": [{**row("a"), "x": 1}]}, "requests.0.x: Extra inputs"),
    ],
)
async def test_a_malformed_batch_is_refused_at_once_and_whole(serve, body, message):
    served = await serving(serve)
    heard = await served.call("POST", PATH, body)
    assert (heard.status, heard.headers["x-should-retry"]) == (400, "false")
    assert heard.json["error"]["type"] == "invalid_request_error"
    assert message in heard.json["error"]["message"]
    assert served.simulator.stats()["batches"]["made"] == 0


async def test_too_many_or_too_large_requests_are_refused(serve):
    served = await serving(serve, max_requests=2, max_bytes=2000)
    assert "at most 2 items" in (await served.call("POST", PATH, rows(3))).json["error"]["message"]
    large = await served.call("POST", PATH, {"requests": [row("a", "x" * 3000)]})
    assert (large.status, large.json) == (
        413,
        {"error": {"type": "request_too_large", "message": "Request exceeds the maximum size"}},
    )


async def test_a_body_in_chunks_is_read_like_any_other(serve, hear):
    served = await serving(serve, max_bytes=20_000)
    data = json.dumps(rows(50)).encode()
    head = request_bytes(
        "POST", PATH, headers={"transfer-encoding": "chunked", "content-length": ""}
    )
    parts = [data[start : start + 999] for start in range(0, len(data), 999)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    for wanted, body in ((200, chunks), (413, chunks * 3)):
        reader, writer = await served.open()
        # Piece by piece, so that sizes and ends of lines are cut in two.
        for start in range(0, len(body), 1000):
            writer.write((head if not start else b"") + body[start : start + 1000])
            await writer.drain()
            await asyncio.sleep(0)
        writer.write(b"0\r\n\r\n")
        assert (await hear(reader)).status == wanted


async def test_params_are_looked_at_only_while_the_batch_runs(serve):
    served = await serving(serve)
    got = await outcome(
        served,
        {
            "requests": [
                row("fine", stream=False),
                row("stream", stream=True),
                row("speed", speed="standard"),
                row("warm", max_tokens=0),
                row("model", model="claude-9"),
                row("shape", messages=[]),
                row("sampling", temperature=1),
                row("overloaded", "[[simulate: error 529]]"),
            ]
        },
    )
    kinds = {name: result["type"] for name, result in got.items()}
    assert kinds.pop("fine") == "succeeded"
    assert (len(kinds), set(kinds.values())) == (7, {"errored"})
    errors = {name: result["error"] for name, result in got.items() if name != "fine"}
    for error in errors.values():
        assert error["type"] == "error"
        assert error["request_id"].startswith("req_sim_")
    inner = {name: error["error"]["type"] for name, error in errors.items()}
    assert inner.pop("model") == "not_found_error"
    assert inner.pop("overloaded") == "overloaded_error"
    assert set(inner.values()) == {"invalid_request_error"}
    stats = (await served.call("GET", "/__stats")).json
    assert stats["batches"]["errored"] == 7


async def test_a_cancel_lets_what_has_begun_end_and_leaves_the_rest(serve):
    served = await serving(serve, latency="fixed:3600")
    name = await created(served, rows(400))
    served.now.seconds += 1800
    told = (await served.call("POST", f"{PATH}/{name}/cancel")).json
    assert told["processing_status"] == "canceling"
    assert told["cancel_initiated_at"] is not None
    assert told["request_counts"]["processing"] == 400
    done = await ended(served, name, 30)
    counts = done["request_counts"]
    assert counts["succeeded"] + counts["canceled"] == 400
    assert 150 < counts["succeeded"] < 250
    found = Counter(line["result"]["type"] for line in await lines(served, name))
    assert found == {"succeeded": counts["succeeded"], "canceled": counts["canceled"]}
    again = await served.call("POST", f"{PATH}/{name}/cancel")
    assert (again.status, again.json["error"]["type"]) == (400, "invalid_request_error")
    stats = (await served.call("GET", "/__stats")).json
    assert stats["batches"]["succeeded"] == counts["succeeded"]


async def test_a_cancel_may_cancel_nothing(serve):
    served = await serving(serve, latency="fixed:3600", script=("batch_uncanceled",))
    name = await created(served, rows(50))
    await served.call("POST", f"{PATH}/{name}/cancel")
    assert (await ended(served, name, 30))["request_counts"]["succeeded"] == 50


async def test_what_is_not_reached_within_a_day_expires(serve):
    served = await serving(serve, latency=f"fixed:{2 * DAY}")
    name = await created(served, rows(200))
    served.now.seconds += DAY - 1
    assert (await served.call("GET", f"{PATH}/{name}")).json["processing_status"] == "in_progress"
    counts = (await ended(served, name, 1))["request_counts"]
    assert counts["succeeded"] + counts["expired"] == 200
    assert 70 < counts["expired"] < 130


async def test_a_batch_that_stands_still_expires_whole_and_costs_nothing(serve):
    served = await serving(serve, script=("batch_stuck",))
    name = await created(served)
    assert (await ended(served, name, DAY))["request_counts"]["expired"] == 3
    assert (await served.call("GET", "/__stats")).json["billed_pico"] == 0


async def test_results_are_gone_29_days_after_the_create(serve):
    served = await serving(serve)
    name = await created(served)
    await ended(served, name)
    served.now.seconds += 29 * DAY - 61
    assert len(await lines(served, name)) == 3
    served.now.seconds += 1
    gone = (await served.call("GET", f"{PATH}/{name}")).json
    assert gone["processing_status"] == "ended"
    assert gone["archived_at"] == "2026-12-21T12:00:00.000000+00:00"
    assert gone["results_url"] is None
    assert (await served.call("GET", f"{PATH}/{name}/results")).status == 404


async def test_only_ended_batches_can_be_deleted(serve):
    served = await serving(serve)
    name = await created(served)
    assert (await served.call("DELETE", f"{PATH}/{name}")).status == 400
    await ended(served, name)
    told = await served.call("DELETE", f"{PATH}/{name}")
    assert told.json == {"id": name, "type": "message_batch_deleted"}
    for method, path in (("GET", ""), ("GET", "/results"), ("POST", "/cancel"), ("DELETE", "")):
        assert (await served.call(method, f"{PATH}/{name}{path}")).status == 404


async def test_the_list_is_newest_first_in_pages_either_way(serve):
    served = await serving(serve)
    names = [await created(served) for _ in range(5)][::-1]

    async def page(query):
        heard = (await served.call("GET", f"{PATH}?{query}")).json
        assert heard["first_id"] == (heard["data"][0]["id"] if heard["data"] else None)
        assert heard["last_id"] == (heard["data"][-1]["id"] if heard["data"] else None)
        return [batch["id"] for batch in heard["data"]], heard["has_more"]

    assert await page("") == (names, False)
    assert await page("limit=2") == (names[:2], True)
    assert await page(f"limit=2&after_id={names[1]}") == (names[2:4], True)
    assert await page(f"limit=2&after_id={names[3]}") == (names[4:], False)
    assert await page(f"limit=2&before_id={names[3]}") == (names[1:3], True)
    assert await page(f"after_id={names[4]}") == ([], False)
    for query in ("limit=0", "limit=1001", "limit=x", "after_id=a&before_id=b"):
        assert (await served.call("GET", f"{PATH}?{query}")).status == 400


async def test_the_list_may_lag_behind(serve):
    served = await serving(serve, script=("batch_lag", "batch_lag"))
    await created(served)
    for wanted in (0, 1):
        assert len((await served.call("GET", PATH)).json["data"]) == wanted
        served.now.seconds += 60


async def test_a_live_batch_may_be_answered_with_a_404_anywhere(serve):
    served = await serving(serve, script=("batch_404",) * 3)
    name = await created(served)
    for path in ("", "/results", "/cancel"):
        heard = await served.call("POST" if path == "/cancel" else "GET", f"{PATH}/{name}{path}")
        assert (heard.status, heard.json["error"]["type"]) == (404, "not_found_error")
    await ended(served, name)
    assert served.simulator.stats()["faults"] == {"batch_404": 3}


async def test_faults_before_a_create_make_nothing(serve):
    served = await serving(serve, script=("batch_500", "batch_429"))
    statuses = [(await served.call("POST", PATH, rows(1))).status for _ in range(3)]
    assert statuses == [500, 429, 200]
    assert served.simulator.stats()["batches"]["made"] == 1


@pytest.mark.parametrize("fault", ["batch_504", "batch_lost", "batch_hang"])
async def test_a_create_may_make_its_batch_and_not_say_so(serve, fault):
    served = await serving(serve, script=(fault,))
    reader, writer = await served.open()
    writer.write(request_bytes("POST", PATH, rows(2)))
    if fault == "batch_504":
        assert b" 504 " in await asyncio.wait_for(reader.readuntil(b"\r\n"), 20)
    elif fault == "batch_lost":
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 20)
    else:
        await served.until(lambda: served.simulator.stats()["batches"]["made"] == 1)
        writer.close()
    (batch,) = (await served.call("GET", PATH)).json["data"]
    assert (await ended(served, batch["id"]))["request_counts"]["succeeded"] == 2


async def test_a_create_may_make_two_and_both_are_billed(serve):
    served = await serving(serve, script=("batch_twice",))
    told = await created(served)
    listed = [batch["id"] for batch in (await served.call("GET", PATH)).json["data"]]
    assert len(listed) == 2
    assert told in listed
    served.now.seconds += 60
    stats = (await served.call("GET", "/__stats")).json
    assert (stats["batches"]["succeeded"], stats["batches"]["billed_again"]) == (6, 3)


async def test_a_download_may_be_cut_in_the_middle_of_a_line(serve):
    served = await serving(serve, script=("batch_cut",))
    name = await created(served, rows(9))
    await ended(served, name)
    reader, writer = await served.open()
    writer.write(request_bytes("GET", f"{PATH}/{name}/results"))
    _, _, body = (await asyncio.wait_for(reader.read(), 20)).partition(b"\r\n\r\n")
    assert body.count(b'{"custom_id"') == 5
    assert not body.endswith(b"0\r\n\r\n")
    assert len(await lines(served, name)) == 9


async def test_rows_have_every_ending_as_often_as_asked(serve):
    shares = {
        "batch_invalid": 0.1,
        "batch_api_error": 0.1,
        "batch_overloaded": 0.1,
        "batch_expired": 0.1,
        "batch_canceled": 0.1,
        "batch_unknown": 0.1,
    }
    served = await serving(serve, faults=shares)
    got = await outcome(served, rows(1500))
    found = Counter(
        result["error"]["error"]["type"] if "error" in result else result["type"]
        for result in got.values()
    )
    assert found.keys() == {
        "succeeded",
        "invalid_request_error",
        "api_error",
        "overloaded_error",
        "expired",
        "canceled",
        "postponed",
    }
    assert all(100 < count < 200 for kind, count in found.items() if kind != "succeeded")
    stats = (await served.call("GET", "/__stats")).json
    assert sum(stats["faults"].values()) == 1500 - found["succeeded"]
    assert stats["by_model"] == {"claude-haiku-5-5": 1500}


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("batch_expired", "expired"),
        ("batch_canceled", "canceled"),
        ("batch_unknown", "postponed"),
        ("batch_overloaded", "errored"),
        ("529", "errored"),
    ],
)
async def test_a_prompt_can_ask_for_its_ending(serve, fault, kind):
    served = await serving(serve)
    got = await outcome(served, {"requests": [row("a", f"[[simulate: fault {fault}]]")]})
    assert got["a"]["type"] == kind


async def test_errors_may_be_written_flat(serve):
    served = await serving(serve, script=("batch_flat",))
    got = await outcome(served, {"requests": [row("a", max_tokens=0)]})
    assert got["a"]["error"]["type"] == "invalid_request_error"
    assert "max_tokens" in got["a"]["error"]["message"]


async def test_requests_per_minute_and_the_queue_are_limited(serve):
    served = await serving(serve, rpm=4, queue=5)
    await created(served, rows(3))
    full = await served.call("POST", PATH, rows(3))
    assert (full.status, full.headers["retry-after"]) == (429, "60")
    assert full.json["error"]["type"] == "rate_limit_error"
    await created(served, rows(2))
    assert (await served.call("GET", PATH)).status == 200
    limited = await served.call("GET", PATH)
    assert (limited.status, limited.headers["retry-after"]) == (429, "15")
    assert not [name for name in limited.headers if "ratelimit" in name]
    served.now.seconds += 30
    assert (await served.call("POST", PATH, rows(3))).status == 429
    await created(served, rows(2))
    served.now.seconds += 60
    await created(served, rows(5))


async def test_time_can_go_by_faster(serve):
    served = await serving(serve, time=60.0, latency=f"fixed:{HOUR}")
    name = await created(served)
    served.now.seconds += 59
    running = await served.call("GET", f"{PATH}/{name}")
    assert running.json["processing_status"] == "in_progress"
    assert running.headers["retry-after"] == "1"
    assert running.json["expires_at"] == "2026-11-22T12:24:00.000000+00:00"
    done = await ended(served, name, 1)
    assert done["ended_at"] == "2026-11-22T12:01:00.000000+00:00"
    assert done["created_at"] == "2026-11-22T12:00:00.000000+00:00"


def test_speeds_of_time_are_read_or_refused():
    assert parse_batch_time("60x") == parse_batch_time(" 60 ") == 60
    for text in ("", "x", "fast"):
        with pytest.raises(ConfigError, match="is not a number"):
            parse_batch_time(text)
    for time in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="not above 0"):
            SimulatedBatches(time=time)
    with pytest.raises(ConfigError, match="queue must be above 0"):
        SimulatedBatches(queue=0)
    with pytest.raises(ConfigError, match="more than 1 together"):
        SimulatorSettings(faults={"batch_expired": 0.6, "batch_invalid": 0.6})
    SimulatorSettings(faults={"529": 0.6, "batch_invalid": 0.6, "batch_cut": 0.6})


async def test_a_cached_prefix_is_found_by_most_of_a_batch(serve):
    served = await serving(serve)
    system = [
        {
            "type": "text",
            "text": "Rules. " * 400,
            "cache_control": {"type": "ephemeral", "ttl": "1h"},
        }
    ]
    got = await outcome(
        served, {"requests": [row(f"r-{n}", f"row {n}", system=system) for n in range(200)]}
    )
    usages = [result["message"]["usage"] for result in got.values()]
    assert all(
        bool(u["cache_read_input_tokens"]) ^ bool(u["cache_creation_input_tokens"]) for u in usages
    )
    assert 100 < sum(1 for u in usages if u["cache_read_input_tokens"]) < 180


async def test_a_stop_in_the_middle_bills_nothing_twice(serve):
    served = await serving(serve)
    await created(served, rows(5000))
    served.now.seconds += 60
    await served.call("GET", PATH)
    await served.until(lambda: served.simulator.stats()["billed_pico"] > 0)
    await served.simulator.stop()
    assert served.simulator.stats()["batches"]["ended"] == 0
    served.port = int((await served.simulator.start()).rpartition(":")[2])
    stats = (await served.call("GET", "/__stats")).json
    assert (stats["batches"]["succeeded"], stats["batches"]["billed_again"]) == (5000, 0)


async def test_counts_stay_0_while_a_large_batch_is_being_ended(serve):
    served = await serving(serve)
    name = await created(served, rows(5000))
    served.now.seconds += 60
    await served.call("GET", PATH)
    await served.until(lambda: served.simulator.stats()["billed_pico"] > 0)
    running = (await served.call("GET", f"{PATH}/{name}")).json
    assert (running["processing_status"], running["ended_at"]) == ("in_progress", None)
    assert running["request_counts"]["processing"] == 5000
    assert running["request_counts"]["succeeded"] == 0
    await served.call("GET", "/__stats")
    assert (await ended(served, name, 0))["request_counts"]["succeeded"] == 5000


async def test_every_answer_has_an_id_and_no_rate_limits_and_wants_a_key(serve):
    served = await serving(serve)
    name = await created(served)
    for method, path in (("GET", ""), ("GET", f"/{name}"), ("POST", f"/{name}/cancel")):
        heard = await served.call(method, PATH + path)
        assert heard.headers["request-id"].startswith("req_")
        assert not [name for name in heard.headers if "ratelimit" in name]
        refused = await served.call(method, PATH + path, headers={"authorization": ""})
        assert refused.status == 401
    assert (await served.call("PUT", f"{PATH}/{name}")).status == 404


@pytest.mark.skipif(not RECORDED.exists(), reason="no recorded answers beside the repository")
async def test_answers_have_the_shapes_of_recorded_ones(serve):
    def recorded(name):
        return json.loads((RECORDED / f"{name}.json").read_text())

    served = await serving(serve)
    made = await served.call("POST", PATH, recorded("batch_create")["request"]["body"])
    name = made.json["id"]
    heard = {"batch_create": made, "batch_list": await served.call("GET", PATH)}
    heard["batch_poll_in_progress"] = await served.call("GET", f"{PATH}/{name}")
    heard["err_404_batch_no_results"] = await served.call("GET", f"{PATH}/{name}/results")
    heard["err_401_batches"] = await served.call("GET", PATH, headers={"authorization": ""})
    served.now.seconds += 60
    heard["batch_poll_ended"] = await served.call("GET", f"{PATH}/{name}")
    other = await created(served)
    heard["batch_cancel"] = await served.call("POST", f"{PATH}/{other}/cancel")
    for case, answer in heard.items():
        wanted = recorded(case)
        assert answer.status == wanted["status"], case
        assert _shape(answer.json, wanted["body"]), case
        extra = {"content-type", "request-id", "retry-after", "x-should-retry", "date"}
        assert extra & wanted["headers"].keys() <= answer.headers.keys(), case
    results = await served.call("GET", f"{PATH}/{name}/results")
    wanted = recorded("batch_results_2")
    assert results.headers["content-type"] == wanted["headers"]["content-type"]
    assert re.sub(r"msgbatch_\w+_", "", results.headers["content-disposition"]) == re.sub(
        r"msgbatch_\w+_", "", wanted["headers"]["content-disposition"]
    )
    theirs = [json.loads(line) for line in wanted["body"].splitlines()]
    for line in results.body.splitlines():
        assert _shape(json.loads(line), theirs[0])


def _shape(ours, theirs) -> bool:
    """Whether *ours* has every member of *theirs*, with values of the same type; texts
    that look like times and ids have to look alike.
    """
    if isinstance(theirs, dict):
        return isinstance(ours, dict) and all(
            name in ours and _shape(ours[name], value) for name, value in theirs.items()
        )
    if isinstance(theirs, list):
        return isinstance(ours, list) and all(_shape(one, theirs[0]) for one in ours[:1])
    if isinstance(theirs, str) and isinstance(ours, str):
        return _look(ours) == _look(theirs)
    return type(ours) is type(theirs) or (ours is None) or (theirs is None)


def _look(text: str) -> str:
    if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", text):
        return "time"
    return "batch" if re.fullmatch(r"msgbatch_01\w{22}", text) else ""
