"""A refused request is the fault of one row, of the path or of the command."""

from __future__ import annotations

import pytest

from tests.e2e.world import World, prompts
from tests.security.stranger import Said, Stranger, error, message

RUN = ("run", "in.jsonl", "-o", "out.jsonl")
HTML = {"content-type": "text/html"}
FIREWALL = Said(403, b"<!DOCTYPE html><style>p{}</style><h1>Attention Required!</h1>", HTML)
PORTALS = {
    "a redirect": Said(302, b"", {"location": "https://login.example/"}),
    "a page": Said(200, b"<html><title>Welcome to the hotel</title>Log in</html>", HTML),
    "another server": Said(404, b"<html>nginx</html>", HTML),
    "a proxy": Said(407, b"who are you?", HTML),
    "511": Said(511, b"<html>log in</html>", HTML),
}
QUICK = "breaker: {minimum_calls: 4, wait_open_s: 0.1, window_s: 5}\n"
FINE = {"request-id": "req_1"}


@pytest.fixture
def stranger(world: World):
    server = Stranger()
    world.point_at(server.url)
    yield server
    server.close()


def answered(text: str) -> Said:
    return Said(body=message(text), headers=FINE)


@pytest.mark.parametrize("kind", PORTALS)
def test_a_portal_in_the_middle_of_a_run_fails_no_row_and_costs_nothing(world, stranger, kind):
    world.configure(QUICK)
    gone = PORTALS[kind]
    stranger.says = lambda text, _: answered(text) if len(stranger.asked) <= 100 else gone
    world.write("in.jsonl", prompts(300))
    done = world.claudebatch(*RUN, "-j", "16", "--max-outage", "1s")
    assert done.code == 5, done.err
    assert len(stranger.asked) < 250
    assert "100 of 300 done: 100 ok · 200 pending" in done.err
    assert world.ledger()[1] == 0, "nobody billed anything that is unknown"

    stranger.says = lambda text, _: answered(text)
    assert world.claudebatch(*RUN).code == 0
    assert len(world.results()) == 300


@pytest.mark.parametrize("kind", PORTALS)
@pytest.mark.parametrize("rows", [1, 40])
def test_a_portal_from_the_first_request_on_stops_at_once(world, stranger, kind, rows):
    stranger.says = lambda text, _: PORTALS[kind]
    world.write("in.jsonl", prompts(rows))
    done = world.claudebatch(*RUN)
    assert done.code == 5, done.err
    assert len(stranger.asked) <= 30
    assert "the API cannot be reached" in done.err and "<" not in done.err
    assert "ANTHROPIC_BASE_URL" in done.err
    assert f"0 of {rows} done: 0 ok · {rows} pending" in done.err


def test_a_model_that_does_not_exist_stops_ten_thousand_rows_within_thirty_requests(
    world, stranger
):
    gone = Said(404, error("not_found_error", "model: claude-sonnet-9"), FINE)
    stranger.says = lambda text, _: gone
    world.write("in.jsonl", prompts(10_000, model="claude-sonnet-9"))
    done = world.claudebatch(*RUN, "--allow-unknown-model")
    assert done.code == 2, done.err
    assert len(stranger.asked) <= 30
    assert "model: claude-sonnet-9" in done.err and "claudebatch models" in done.err
    assert "0 of 10,000 done: 0 ok · 10,000 pending" in done.err
    assert world.path("out.jsonl").read_bytes() == b""


def test_a_parameter_that_is_refused_differs_by_row_in_numbers_only(world, stranger):
    def says(text: str, _: dict[str, str]) -> Said:
        words = f"messages.{text[-1]}: `top_k` is not supported here (row {len(stranger.asked)})"
        return Said(400, error("invalid_request_error", words), FINE)

    stranger.says = says
    world.write("in.jsonl", prompts(200))
    done = world.claudebatch(*RUN)
    assert (done.code, len(stranger.asked) <= 30) == (2, True), done.err
    assert "`top_k` is not supported" in done.err

    stranger.says = lambda text, _: answered(text)
    assert world.claudebatch(*RUN).code == 0
    assert len(world.results()) == 200


@pytest.mark.parametrize(("rows", "bad"), [(10, {4}), (200, set(range(5, 200, 20)))])
def test_prompts_that_a_firewall_dislikes_fail_alone(world, stranger, rows, bad):
    refused = {f"row-{n}" for n in bad}
    stranger.says = lambda text, _: FIREWALL if text in refused else answered(text)
    world.write("in.jsonl", prompts(rows))
    done = world.claudebatch(*RUN, "-j", "4")
    assert done.code == 1, done.err
    assert len(stranger.asked) == rows + len(bad), "each is tried once more"
    results = world.results()
    assert len(results) == rows
    failed = {name: line for name, line in results.items() if line["status"] == "failed"}
    assert set(failed) == refused
    for line in failed.values():
        assert (line["error"]["type"], line["error"]["status"]) == ("blocked", 403)
        assert "Attention Required!" in line["error"]["message"]
        assert "<" not in line["error"]["message"]


def test_where_a_firewall_lets_nothing_pass_no_row_is_charged(world, stranger):
    stranger.says = lambda text, _: FIREWALL
    world.write("in.jsonl", prompts(300))
    done = world.claudebatch(*RUN, "-j", "8")
    assert done.code == 4, done.err
    assert len(stranger.asked) <= 30
    assert "firewall" in done.err and "Attention Required!" in done.err
    assert "<" not in done.err and "platform.claude.com" not in done.err
    assert "0 of 300 done: 0 ok · 300 pending" in done.err


@pytest.mark.parametrize(
    ("option", "code", "asked", "pending"),
    [((), 2, 20 + 4, 51), (("--stop-after", "7"), 2, 7 + 4, 51), (("--stop-after", "0"), 1, 51, 0)],
)
def test_later_it_takes_so_many_in_a_row(world, stranger, option, code, asked, pending):
    refused = Said(400, error("invalid_request_error", "no more"), FINE)
    stranger.says = lambda text, _: answered(text) if len(stranger.asked) <= 9 else refused
    world.write("in.jsonl", prompts(60))
    done = world.claudebatch(*RUN, "-j", "4", *option)
    assert done.code == code, done.err
    assert len(stranger.asked) <= 9 + asked
    failed = f" · {51 - pending} failed" if pending < 51 else ""
    assert f"{60 - pending} of 60 done: 9 ok{failed}" in done.err
    assert len(world.results()) == 60 - pending


def test_the_last_rows_of_a_run_that_a_firewall_dislikes_end_it(world, stranger):
    """Interrupted before, with nothing left but refused rows: no session is stopped."""
    stranger.says = lambda text, _: answered(text)
    world.write("in.jsonl", prompts(20))
    assert world.claudebatch(*RUN, "--limit", "12").code == 0
    stranger.says = lambda text, _: FIREWALL
    done = world.claudebatch(*RUN)
    assert done.code == 1, done.err
    assert "12 ok · 8 failed" in done.err


@pytest.mark.parametrize("ending", ["/v1", "/v1/", "/v1/messages"])
def test_a_base_url_with_v1_is_refused_before_anything_is_sent(world, stranger, ending):
    world.point_at(stranger.url + ending)
    world.write("in.jsonl", prompts(3))
    done = world.claudebatch(*RUN)
    assert (done.code, stranger.asked) == (2, [])
    assert "/v1" in done.err and f"as {stranger.url}" in done.err


def test_few_rows_that_are_all_refused_fail(world, stranger):
    refused = Said(400, error("invalid_request_error", "no more"), FINE)
    stranger.says = lambda text, _: refused
    world.write("in.jsonl", prompts(3))
    done = world.claudebatch(*RUN)
    assert done.code == 1, done.err
    assert len(world.results()) == 3
