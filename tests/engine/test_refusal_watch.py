"""Whose fault a refusal is: a table of courses, and which rows are charged."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from claudebatch.core.errors import AttemptError, Blocked, ExitCode, NotServed, PathFault
from claudebatch.engine.refusal_watch import RefusalWatch, RefusedRow, is_refusal, kind_of
from tests.support.scripted import HAIKU, SONNET, make_call


def bad(words: str = "no such parameter", status: int = 400) -> AttemptError:
    return AttemptError(words, type="invalid_request_error", status=status)


def page(words: str = "blocked") -> Blocked:
    return Blocked(words, status=403)


PORTAL = PathFault("a web page in the place of an answer", type="bad_answer", status=200)


def another(error: AttemptError) -> AttemptError:
    """An equal one."""
    made = type(error).__new__(type(error), *error.args)
    vars(made).update(vars(error))
    return made


@dataclass
class Course:
    """Rows that come back one a second, each in a moment."""

    watch: RefusalWatch
    at: float = 0.0
    stop: object = None

    def refused(self, *errors: AttemptError) -> Course:
        for error in map(another, errors):  # each row has an error of its own
            self.at += 1
            row = RefusedRow(make_call(row=int(self.at)), error, 1, self.at)
            stop = self.watch.refused(row)
            self.stop = self.stop or stop
        return self

    def answered(self, began: float | None = None) -> Course:
        self.at += 1
        self.watch.answered(self.at if began is None else began, HAIKU)
        return self


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (bad("max_tokens: 9 > 8"), bad("max_tokens: 70000 > 8"), True),
        (bad('"a b" is no role'), bad('"c" is no role'), True),
        (bad("`temperature` no"), bad("'top_p' no"), True),
        (bad("message msg_01x gone"), bad("message msg_02 gone"), True),
        (bad("don't do that"), bad("can't do that"), False),
        (bad("no"), bad("yes"), False),
        (bad("no"), bad("no", 422), False),
        (bad("no"), page("no"), False),
    ],
)
def test_refusals_are_alike_when_only_quotes_numbers_and_ids_differ(one, other, alike):
    assert (kind_of(one) == kind_of(other)) is alike


@pytest.mark.parametrize(
    ("error", "refusal"),
    [
        (bad(), True),
        (page(), True),
        (NotServed("gone", type="not_found_error", status=404), True),
        (NotServed("no price", type="unknown_price"), False),
        (AttemptError("down", type="api_error", status=500, unavailable=True), True),
        (AttemptError("no list", type="bad_answer", status=200, may_be_billed=True), True),
        (AttemptError("down", type="api_error", status=500, retryable=True), False),
        (AttemptError("late", type="timeout", retryable=True), False),
        (AttemptError("later", type="conflict_error", status=409, retryable=True), False),
    ],
)
def test_what_is_a_refusal(error, refusal):
    assert is_refusal(error) is refusal


@pytest.mark.parametrize(
    ("error", "code", "hint"),
    [
        (bad(), ExitCode.USAGE, "--stop-after 0"),
        (NotServed("model: x", type="not_found_error", status=404), ExitCode.USAGE, "models"),
        (page(), ExitCode.AUTH, "firewall"),
    ],
)
def test_five_alike_and_no_answer_stop_and_charge_no_row(error, code, hint):
    course = Course(RefusalWatch()).refused(*[error] * 4)
    assert course.stop is None and course.watch.ripe() == []
    course.refused(error)
    assert course.stop.exit_code == code and hint in course.stop.fix
    assert error.message in course.stop.message
    course.refused(error)  # was in flight
    assert course.watch.ripe() == [] and course.watch.rest() == []


def test_five_answers_broken_alike_stop_as_unavailable_and_charge_no_row():
    broken = AttemptError("no `content`", type="bad_answer", status=200, may_be_billed=True)
    course = Course(RefusalWatch()).refused(*[broken] * 5)
    assert (course.stop.id, course.stop.exit_code) == ("E720", ExitCode.UNAVAILABLE)
    assert "no `content`" in course.stop.message and "ANTHROPIC_BASE_URL" in course.stop.fix
    assert course.watch.rest() == []


def test_five_failures_that_are_not_to_be_tried_again_are_an_outage():
    # Of an outage each row may hear another word.
    errors = [
        AttemptError(f"down: {word}", type="api_error", status=500, unavailable=True)
        for word in ("a", "b", "c", "d", "e")
    ]
    course = Course(RefusalWatch()).refused(*errors)
    assert (course.stop.id, course.stop.exit_code) == ("E721", ExitCode.UNAVAILABLE)
    assert course.watch.rest() == []
    stopped = Course(RefusalWatch()).refused(errors[0], bad())
    assert [row.error.status for row in stopped.watch.rest(stopped=True)] == [400]
    alone = Course(RefusalWatch()).answered().refused(errors[0])
    assert alone.watch.ripe() == [], "an outage may begin with it"
    assert len(alone.answered().watch.ripe()) == 1


DOWN = AttemptError("down", type="api_error", status=529, unavailable=True)


def test_many_that_the_api_fails_after_answers_stop_nothing_and_are_asked_again_once():
    course = Course(RefusalWatch()).answered().refused(*[DOWN] * 500)
    assert course.stop is None and course.watch.ripe() == [] and course.watch.again() == []
    course.answered()
    assert course.watch.ripe() == []
    again = course.watch.again()
    assert len(again) == 500 and course.watch.again() == []
    for row in again[:6]:
        # They stand together in the file, and are the bad ones.
        course.watch.refused(RefusedRow(row.call, another(DOWN), 1, course.at))
    course.answered()
    assert len(course.watch.ripe()) == 6 and course.watch.again() == []


def test_four_that_the_api_fails_are_bad_rows():
    course = Course(RefusalWatch()).answered().refused(*[DOWN] * 4).answered()
    assert len(course.watch.ripe()) == 4 and course.watch.again() == []


def test_another_model_that_answers_says_nothing_of_the_one_that_is_down():
    course = Course(RefusalWatch()).answered().refused(*[DOWN] * 4)
    course.watch.answered(course.at + 1, SONNET)
    assert course.watch.ripe() == [] and len(course.answered().watch.ripe()) == 4


def test_the_last_rows_of_a_file_that_the_api_fails_stay_to_be_done_if_they_are_many():
    course = Course(RefusalWatch()).answered().refused(*[DOWN] * 19)
    assert course.watch.nothing_left() is None
    course.refused(DOWN)
    stop = course.watch.nothing_left()
    assert stop is not None and stop.id == "E721" and "20 rows in a row" in stop.message
    assert course.watch.rest(stopped=True) == []


def test_suspects_are_bounded():
    course = Course(RefusalWatch()).answered().refused(*[DOWN] * 999)
    assert course.stop is None
    assert course.refused(DOWN).stop.id == "E721"


def test_refusals_that_differ_are_the_rows_own_and_are_written_down_at_the_end():
    course = Course(RefusalWatch()).refused(*(bad(w) for w in ("a", "b", "c", "d", "e", "f")))
    assert course.stop is None
    assert len(course.watch.rest()) == 6 and course.watch.rest() == []


def test_an_answer_to_a_later_request_charges_the_rows_one_to_an_earlier_does_not():
    course = Course(RefusalWatch()).refused(bad(), bad())
    course.answered(began=1.5)
    assert [row.at for row in course.watch.ripe()] == [1.0]
    course.answered()
    assert [row.at for row in course.watch.ripe()] == [2.0]


def test_after_an_answer_it_takes_so_many_in_a_row_as_was_asked_for():
    course = Course(RefusalWatch(stop_after=7)).answered().refused(*[bad()] * 6)
    course.answered().refused(*[bad()] * 6)
    assert course.stop is None
    course.refused(bad())
    assert course.stop is not None
    assert len(course.watch.ripe()) == 6, "those before the last answer are charged"
    assert course.watch.rest() == []


@pytest.mark.parametrize("answered_before", [False, True])
def test_0_means_never(answered_before):
    watch = RefusalWatch(stop_after=0, answered_before=answered_before)
    course = Course(watch).refused(*[bad()] * 99)
    assert course.stop is None and len(watch.ripe()) == 99


def test_a_run_that_had_answers_before_is_not_stopped_by_its_last_bad_rows():
    course = Course(RefusalWatch(answered_before=True)).refused(*[page()] * 19)
    assert course.stop is None and len(course.watch.rest()) == 19


def test_another_kind_that_comes_back_during_the_stop_is_its_rows_own():
    course = Course(RefusalWatch()).refused(bad("else"), *[bad()] * 5, bad("more"))
    assert [row.error.message for row in course.watch.rest()] == ["else", "more"]


def test_held_rows_are_bounded():
    words = [bad("x" * n) for n in range(1100)]
    course = Course(RefusalWatch()).refused(*words[:300])
    held = len(course.watch.ripe())
    assert held == 0
    course.refused(*(bad(f"{chr(97 + n % 26)} {'y' * (n % 290)}") for n in range(750)))
    assert len(course.watch.ripe()) == 50


def test_five_path_faults_and_no_answer_stop_as_unavailable():
    watch = RefusalWatch()
    stops = [watch.attempt_failed(PORTAL, float(n)) for n in range(5)]
    assert stops[:4] == [None] * 4 and stops[4].exit_code == ExitCode.UNAVAILABLE
    assert "web page" in stops[4].message and not watch.proven


def test_path_faults_of_a_run_that_was_answered_may_last_as_long_as_an_outage():
    watch = RefusalWatch(max_outage_s=60.0)
    watch.answered(0.0, HAIKU)
    assert [watch.attempt_failed(PORTAL, float(n)) for n in range(61)] == [None] * 61
    assert watch.attempt_failed(PORTAL, 61.0).exit_code == ExitCode.UNAVAILABLE
    watch.answered(62.0, HAIKU)
    assert watch.attempt_failed(PORTAL, 63.0) is None


@pytest.mark.parametrize(
    ("error", "proven"),
    [
        (AttemptError("down", type="api_error", status=500, retryable=True), True),
        (bad(), False),
        (page(), False),
        (PORTAL, False),
    ],
)
def test_what_passes_lets_all_workers_go(error, proven):
    watch = RefusalWatch()
    watch.attempt_failed(error, 0.0)
    assert watch.proven is proven


def test_fifteen_requests_that_a_firewall_refuses_are_enough_before_any_answer():
    watch = RefusalWatch()
    stops = [watch.attempt_failed(page(), float(n)) for n in range(15)]
    assert stops[:14] == [None] * 14 and stops[14].exit_code == ExitCode.AUTH
    watch.refused(RefusedRow(make_call(row=1), page(), 1, 16.0))
    assert watch.rest() == []
    answered = RefusalWatch(answered_before=True)
    assert [answered.attempt_failed(page(), float(n)) for n in range(99)] == [None] * 99


def test_equal_prompts_that_share_one_refused_request_are_one_refusal():
    course, shared = Course(RefusalWatch()), AttemptError("no", type="x", status=400)
    rows = [RefusedRow(make_call(row=n), shared, 1, 1.0) for n in range(20)]
    assert [course.watch.refused(row) for row in rows] == [None] * 20
    assert [row.call.row for row in course.watch.rest()] == list(range(20))
