"""What rows share is found while they are checked, and marked where dollars say so."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import pytest

from claudebatch.core.domain import Call, Prompt, Usage
from claudebatch.core.jsonl import decode
from claudebatch.layers.prompt_caching import own_marks
from claudebatch.layers.prompt_caching.chains import ChainRows, Link, links_of, shared_beginnings
from claudebatch.layers.prompt_caching.mark_plan import MarkPlan, Spacing
from claudebatch.layers.prompt_caching.set_marks import Placing
from claudebatch.models.catalog import Catalog
from claudebatch.models.prices import PriceBook
from claudebatch.setup.shared_beginnings import SharedBeginnings, spacing_of
from claudebatch.simulator.count_input import count_input
from claudebatch.simulator.promptcache import PromptCache
from claudebatch.simulator.traits import MODELS
from tests.support.scripted import make_call
from tests.support.settings import settings_of

CATALOG = Catalog.load()
BOOK = PriceBook.load(at=datetime(2026, 11, 22, tzinfo=UTC))
OPUS = "claude-opus-5-5"
LONG = "The committee met and decided. " * 100
"""1,100 tokens."""


def text(words: str, mark: Any = None) -> dict[str, Any]:
    return {"type": "text", "text": words, **({"cache_control": mark} if mark else {})}


def asks(*contents: Any, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": one} for one in contents], **more}


def links(
    finder: SharedBeginnings, params: Any, *, model: str = OPUS, answers: int = 1
) -> list[Link]:
    prompt = Prompt("x", params, answers=answers)
    return links_of(finder.chain(prompt, model, params, 10_000))


def new(mode: Any = "auto") -> SharedBeginnings:
    return SharedBeginnings(CATALOG, mode)


@pytest.mark.parametrize(
    ("count", "params"),
    [
        (0, asks("question")),
        (0, asks(LONG)),  # what comes last is the row's own
        (1, asks("question", system=LONG)),
        (0, asks("question", system="Be brief.")),
        (1, asks([text(LONG), text("question")])),
        (2, asks([text(LONG), text("question")], system=LONG)),
        (2, asks("question", system=LONG, tools=[{"name": "t", "description": LONG}])),
        (3, asks(LONG, "yes", "no", "question")),
        (1, asks("question", system=[text(LONG), {"type": "text", "text": ""}])),
    ],
)
def test_each_beginning_that_is_long_enough_may_be_shared(count, params):
    assert len(links(new(), params)) == count


def test_what_is_too_short_for_its_model_is_left_out():
    params = asks("question", system=LONG)
    assert links(new(), params, model="claude-haiku-4-5") == []
    assert len(links(new(), params, model="claude-opus-4-8")) == 1
    # By its bytes alone: nothing of such a row is looked at.
    assert new().chain(Prompt("x", params), OPUS, params, 511) == b""


@pytest.mark.parametrize(
    "source",
    [
        {"type": "file", "file_id": "file_011CNha8iCJcU1wXNR6q4V8w"},
        {"type": "url", "url": "https://example.com/report.pdf"},
    ],
)
def test_a_file_that_a_short_row_names_is_as_long_as_it_is(source):
    document = {"type": "document", "source": source}
    params = asks([document, text("question")])
    chain = new().chain(Prompt("x", params), OPUS, params, 200)
    (link,) = links_of(chain)
    assert link.tokens > 512
    answered = asks("what does it say?", "see", [document, text("question")])
    answered["messages"][1] = {"role": "assistant", "content": [text("see")]}
    assert links_of(new().chain(Prompt("x", answered), OPUS, answered, 200))


def test_tokens_are_those_to_the_end_of_each_block():
    found = links(new(), asks([text(LONG), text(LONG), text("question")], system=LONG))
    assert [round(link.tokens / found[0].tokens) for link in found] == [1, 2, 3]
    assert found[0].tokens == pytest.approx(len(LONG) / 2.8, abs=1)


def test_rows_alike_in_their_beginning_have_one_chain_whatever_came_between():
    finder = new()
    documents = [asks([text(f"{n} {LONG}"), text("a question")], system=LONG) for n in range(3)]
    once = [links(finder, one) for one in documents]
    again = [links(finder, asks([text(f"{n} {LONG}"), text("b")], system=LONG)) for n in range(3)]
    assert once == again
    assert len({tuple(one) for one in once}) == 3
    assert len({one[0] for one in once}) == 1


def test_a_system_prompt_before_texts_is_known_again_unless_anything_else_differs():
    finder = new()
    first = links(finder, asks("a", system=LONG))
    assert links(finder, asks("b", system=LONG)) == first
    for change in (
        {"thinking": {"type": "adaptive"}},
        {"speed": "fast"},
        {"output_config": {"effort": "low"}},
        {"container": "container_1"},
        {"context_management": {"edits": []}},
        {"system": LONG + "!"},
    ):
        assert links(finder, {**asks("b", system=LONG), **change}) != first
        assert links(finder, asks("b", system=LONG)) == first
    assert links(finder, asks("b", system=LONG), model="claude-sonnet-5-5") != first


def test_a_row_of_several_answers_shares_all_of_its_request_with_itself():
    assert len(links(new(), asks(LONG), answers=3)) == 1


@pytest.mark.parametrize("mode", ["auto", "respect"])
def test_marks_of_the_rows_own_are_the_only_ends_of_what_they_share(mode):
    hour = {"type": "ephemeral", "ttl": "1h"}
    params = asks(
        [text(LONG), text(LONG, {"type": "ephemeral"}), text("q")], system=[text(LONG, hour)]
    )
    assert [link.ttl_s for link in links(new(mode), params)] == [3600, 300]
    automatic = asks([text(LONG), text("q")], system=LONG, cache_control=hour)
    assert [link.ttl_s for link in links(new(mode), automatic)] == [3600]
    inner = asks([{"type": "tool_result", "content": [text(LONG, hour)]}, text("q")])
    assert [link.ttl_s for link in links(new(mode), inner)] == [3600]


def test_without_marks_of_their_own_rows_share_nothing_where_only_those_are_respected():
    assert links(new("respect"), asks("question", system=LONG)) == []


def test_of_a_long_conversation_the_first_blocks_are_told():
    contents = [f"{n} {LONG}" for n in range(150)]
    assert len(links(new(), asks(*contents))) == 100


def drawn(rng: random.Random) -> list[dict[str, Any]]:
    """Rows that share system prompts, documents and examples by chance."""
    systems = [None, f"A {LONG}", f"B {LONG}"][: rng.randint(1, 3)]
    documents = [f"{n} {LONG * rng.randint(0, 3)}" for n in range(rng.randint(1, 4))]
    found = []
    for number in range(rng.randint(1, 25)):
        contents = [text(rng.choice(documents)) for _ in range(rng.randint(0, 2))]
        system = rng.choice(systems)
        more = {} if system is None else {"system": system}
        found.append(asks([*contents, text(f"question {number}")], **more))
    return found


def dollars(calls: list[Call]) -> int:
    """Pico-dollars of the input of *calls*, sent one after the other."""
    cache, total, traits = PromptCache(), 0, MODELS[OPUS]
    for call in calls:
        body = decode(call.body)
        use = cache.use(body, traits, 0)
        cache.keep(use, 0)
        plain = count_input(body, traits) - use.read - use.written_5m - use.written_1h
        total += BOOK.cost(
            OPUS,
            Usage(
                input_tokens=plain,
                ephemeral_5m_input_tokens=use.written_5m,
                ephemeral_1h_input_tokens=use.written_1h,
                cache_read_input_tokens=use.read,
            ),
        )
    return total


def placed(rows: list[dict[str, Any]]) -> tuple[list[Call], list[Call]]:
    """The calls of *rows* as they are, and with their marks, those together that share
    most.
    """
    calls = [make_call(model=OPUS, row=number, **params) for number, params in enumerate(rows)]
    finder = new()
    chains = [finder.chain(c.prompt, OPUS, c.prompt.params, len(c.body)) for c in calls]
    groups = [
        ChainRows(
            one, chains.count(one), chains.index(one), len(chains) - 1 - chains[::-1].index(one)
        )
        for one in sorted(set(chains))
    ]
    plan = MarkPlan()
    plan.fill(shared_beginnings(groups), Spacing(0.0, together=True))
    place = Placing(plan, own_marks.place, first_params=lambda call: call.prompt.params)
    order = sorted(range(len(rows)), key=lambda number: plan.path(chains[number]))
    return calls, [place(calls[number]).call for number in order]


@pytest.mark.parametrize("seed", range(60))
def test_marks_never_cost_more_than_none_and_save_what_is_shared(seed):
    calls, marked = placed(drawn(random.Random(seed)))
    without, with_marks = dollars(calls), dollars(marked)
    assert with_marks <= without
    if any(b'"cache_control"' in call.body for call in marked):
        assert with_marks < without


def test_four_documents_with_twenty_questions_are_written_once_each():
    documents = [f"{n} " + LONG * 20 for n in range(4)]
    rows = [
        asks([text(document), text(f"question {number}")], system="Answer from the document.")
        for number in range(20)
        for document in documents
    ]
    calls, marked = placed(rows)
    # 76 of 80 read at a twentieth of the price.
    assert dollars(marked) < dollars(calls) * (4 * 1.25 + 76 * 0.05) / 80 * 1.02


def test_rows_that_the_limits_hold_far_apart_are_kept_for_an_hour():
    def of(**pool):
        return spacing_of(settings_of(limits={"pools": {"opus-5.5": pool}}).limits)

    assert of(requests_per_minute=0.2).row_s == 300
    assert of(input_tokens_per_minute=1000).row_s == 0
    assert of(requests_per_minute=0.2).together


@pytest.mark.parametrize(
    ("count", "params", "answers"),
    [
        (2, asks(LONG, system=LONG), 3),
        (1, asks(LONG, system=LONG, cache_control={"type": "ephemeral"}), 1),
    ],
)
def test_a_row_that_looks_like_the_one_before_it_may_share_more(count, params, answers):
    finder = new()
    before = links(finder, asks(LONG, system=LONG))
    found = links(finder, params, answers=answers)
    assert (len(before), len(found)) == (1, count)
    assert found[-1] != before[-1]


def conversation(number: int) -> dict[str, Any]:
    """Forty turns that no other row has."""
    return asks(*(f"{number} {turn} {LONG[:600]}" for turn in range(40)))


def test_of_rows_that_share_nothing_only_the_shortest_beginning_is_looked_at():
    finder = new()
    found = [len(links(finder, conversation(number))) for number in range(700)]
    assert found[:500] == [38] * 500
    assert found[500:] == [1] * 200


def test_one_that_is_met_again_has_all_of_them_looked_at_from_there_on():
    finder = new()
    for number in range(600):
        links(finder, conversation(number))
    first, second, third = (links(finder, conversation(1000)) for _ in range(3))
    assert first == second[:1], "what follows is lost of the first one alone"
    assert len(second) == 38
    assert second == third
    assert len(links(finder, conversation(1001))) == 38, "others may be shared as well"
    whole = links(new(), conversation(1000))
    assert second == whole, "as if all had been looked at"


def test_how_many_rows_stand_alone_takes_no_memory(monkeypatch):
    monkeypatch.setattr("claudebatch.setup.shared_beginnings._KNOWN", 100)
    finder = new()
    for number in range(1000):
        links(finder, conversation(number))
    assert len(finder._firsts) <= 100
    assert len(finder._tokens) <= 100 + 40
