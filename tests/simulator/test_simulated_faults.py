"""Each fault does to the client what it says, and only work that was done is billed."""

from __future__ import annotations

import asyncio

import pytest

from claudebatch.core.errors import ConfigError
from claudebatch.simulator import FAULT_NAMES, SimulatorSettings, parse_faults


@pytest.mark.parametrize(
    ("fault", "status", "type_"),
    [
        ("529", 529, "overloaded_error"),
        ("500", 500, "api_error"),
        ("503", 503, "api_error"),
        ("429", 429, "rate_limit_error"),
        ("401", 401, "authentication_error"),
        ("402", 402, "billing_error"),
        ("403", 403, "permission_error"),
        ("404", 404, "not_found_error"),
        ("spend_limit", 429, "rate_limit_error"),
        ("credit", 400, "invalid_request_error"),
        ("spend_400", 400, "invalid_request_error"),
    ],
)
async def test_an_error_fault_answers_with_its_status_and_bills_nothing(
    serve, body, fault, status, type_
):
    served = await serve(script=(fault,))
    heard, after = await served.ask(body()), await served.ask(body())
    assert (heard.status, heard.json["error"]["type"], heard.json["type"]) == (
        status,
        type_,
        "error",
    )
    assert after.status == 200
    stats = served.simulator.stats()
    assert stats["faults"] == {fault: 1}
    assert stats["by_status"] == {str(status): 1, "200": 1}
    assert stats["billed_pico"] > 0
    assert stats["duplicates"] == 0


async def test_the_spend_limits_are_told_apart_by_their_code_and_their_words(serve, body):
    served = await serve(script=("spend_limit", "credit", "spend_400", "429"))
    enforced, credit, own, passing = [await served.ask(body()) for _ in range(4)]
    assert enforced.json["error"]["details"] == {"error_code": "enforced_spend_limit_reached"}
    assert "retry-after" not in enforced.headers
    assert credit.json["error"]["message"].startswith("Your credit balance is too low")
    assert own.json["error"]["message"].startswith(
        "You have reached your specified API usage limits"
    )
    assert (passing.headers["retry-after"], passing.headers["x-should-retry"]) == ("1", "true")
    assert served.simulator.stats()["rate_limited"] == 0


async def test_a_reset_ends_the_connection_before_any_answer(serve, body, raw):
    served = await serve(script=("reset",))
    reader, writer = await served.open()
    writer.write(raw("POST", "/v1/messages", body()))
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.read(), 20)
    stats = served.simulator.stats()
    assert (stats["billed_pico"], stats["by_status"], stats["in_flight"]) == (0, {}, 0)


async def test_a_cut_answer_is_billed_and_its_client_holds_half_of_it(serve, body, raw):
    served = await serve(script=("cut",))
    reader, writer = await served.open()
    writer.write(raw("POST", "/v1/messages", body()))
    data = await asyncio.wait_for(reader.read(), 20)
    head, _, half = data.partition(b"\r\n\r\n")
    stated = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
    assert len(half) == stated // 2
    stats = served.simulator.stats()
    assert stats["billed_undelivered_pico"] == stats["billed_pico"] > 0
    assert (await served.ask(body())).status == 200
    after = served.simulator.stats()
    assert after["billed_pico"] == 2 * after["billed_undelivered_pico"]
    assert after["duplicates"] == 0, "the first answer was never held by anybody"


async def test_a_hanging_request_is_billed_and_ends_when_its_client_leaves(serve, body, raw):
    served = await serve(script=("hang",))
    _, writer = await served.open()
    writer.write(raw("POST", "/v1/messages", body()))
    await served.until(lambda: served.simulator.stats()["billed_pico"] > 0)
    assert served.simulator.stats()["in_flight"] == 1
    assert served.simulator.stats()["billed_undelivered_pico"] == 0
    writer.close()
    await served.until(lambda: served.simulator.stats()["in_flight"] == 0)
    stats = served.simulator.stats()
    assert (stats["undelivered"], stats["billed_undelivered_pico"]) == (1, stats["billed_pico"])


async def test_a_hanging_request_ends_at_stop_and_is_counted_as_undelivered(serve, body, raw):
    served = await serve(script=("hang",) * 3)
    readers = []
    for _ in range(3):
        reader, writer = await served.open()
        writer.write(raw("POST", "/v1/messages", body()))
        readers.append(reader)
    await served.until(lambda: served.simulator.stats()["in_flight"] == 3)
    await served.simulator.stop()
    stats = served.simulator.stats()
    assert (stats["in_flight"], stats["undelivered"]) == (0, 3)
    for reader in readers:
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), 20)


async def test_html_and_an_empty_body_come_with_a_200(serve, body):
    served = await serve(script=("html", "empty"))
    page, nothing = await served.ask(body()), await served.ask(body())
    assert (page.status, page.headers["content-type"]) == (200, "text/html")
    assert page.body.startswith(b"<!doctype html>")
    assert (nothing.status, nothing.body) == (200, b"")
    assert served.simulator.stats()["billed_pico"] == 0


async def test_slow_takes_ten_times_as_long_and_drip_waits_after_every_byte(serve, body):
    waits = []

    async def sleep(seconds):
        waits.append(seconds)

    served = await serve(script=("slow", "ok", "drip"), latency="fixed:2", drip_s=0.3, sleep=sleep)
    slow, _, dripped = [await served.ask(body()) for _ in range(3)]
    assert waits[:3] == [20, 2, 2]
    assert waits[3:] == [0.3] * len(dripped.body)
    assert dripped.json["content"] == slow.json["content"]
    assert served.simulator.stats()["undelivered"] == 0


async def test_a_client_that_leaves_during_the_latency_is_billed_for_an_answer_it_does_not_hold(
    serve, body, raw
):
    asleep, wake = asyncio.Event(), asyncio.Event()

    async def sleep(seconds):
        asleep.set()
        await wake.wait()

    served = await serve(latency="fixed:5", sleep=sleep)
    _, writer = await served.open()
    writer.write(raw("POST", "/v1/messages", body()))
    await asyncio.wait_for(asleep.wait(), 20)
    writer.close()
    await writer.wait_closed()
    # Its loop has seen the end of one connection before it answers on another.
    await served.call("GET", "/__stats")
    wake.set()
    await served.until(lambda: served.simulator.stats()["in_flight"] == 0)
    stats = served.simulator.stats()
    assert stats["billed_undelivered_pico"] == stats["billed_pico"] > 0
    assert stats["by_status"] == {}


async def test_a_script_is_consumed_in_the_order_of_requests_and_then_chance_rules(serve, body):
    served = await serve(script=("ok", "529", "ok", "500"), faults={"503": 1.0})
    assert [(await served.ask(body())).status for _ in range(6)] == [200, 529, 200, 500, 503, 503]


async def test_faults_come_about_as_often_as_asked_and_the_same_way_for_one_seed(serve, body):
    def outcome(stats):
        return stats["faults"], stats["by_status"]

    runs = []
    for _ in range(2):
        served = await serve(faults={"529": 0.2, "500": 0.1})
        for n in range(400):
            await served.ask(body(str(n)))
        runs.append(outcome(served.simulator.stats()))
    assert runs[0] == runs[1]
    faults, by_status = runs[0]
    assert 50 < faults["529"] < 110
    assert 20 < faults["500"] < 65
    assert by_status == {
        "200": 400 - faults["529"] - faults["500"],
        "500": faults["500"],
        "529": faults["529"],
    }


async def test_faults_can_be_set_while_it_runs(serve, body):
    served = await serve()
    told = await served.call("POST", "/__faults", {"529": 1, "script": ["ok", "500"]})
    assert told.json == {"529": 1, "script": ["ok", "500"]}
    assert [(await served.ask(body())).status for _ in range(3)] == [200, 500, 529]
    assert (await served.call("POST", "/__faults", {})).json == {"script": []}
    assert (await served.ask(body())).status == 200


@pytest.mark.parametrize(
    "wrong", [b"", [], {"530": 0.1}, {"529": "x"}, {"529": 2}, {"script": 5}, {"script": ["no"]}]
)
async def test_faults_that_make_no_sense_change_nothing(serve, body, wrong):
    served = await serve(script=("529",))
    assert (await served.call("POST", "/__faults", wrong)).status == 400
    assert (await served.ask(body())).status == 529


@pytest.mark.parametrize("fault", sorted(FAULT_NAMES - {"hang", "reset", "cut", "drip"}))
async def test_a_directive_can_ask_for_any_fault(serve, body, fault):
    served = await serve()
    await served.ask(body(f"[[simulate: fault {fault}]]"))
    assert served.simulator.stats()["faults"] == {fault: 1}


def test_fault_texts_are_read_or_refused_with_the_reason():
    assert parse_faults(["529=0.02", "cut = 0.5"]) == {"529": 0.02, "cut": 0.5}
    for text, reason in (
        ("529", "the probability is missing"),
        ("529=often", '"often" is not a number'),
        ("530=0.1", 'unknown fault "530"'),
        ("529=1.5", "not a probability"),
        ("529=nan", "not a probability"),
    ):
        with pytest.raises(ConfigError, match=reason):
            parse_faults([text])
    with pytest.raises(ConfigError, match="more than 1 together"):
        SimulatorSettings(faults={"529": 0.6, "500": 0.6})
    with pytest.raises(ConfigError, match='unknown fault "okay"'):
        SimulatorSettings(script=("okay",))
