"""What the snapshots of screens show: one of everything that is seldom seen at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from math import inf

from claudebatch.core.domain import PICO_PER_USD, PromptSavings, Usage
from claudebatch.core.errors import ExitCode
from claudebatch.core.events import (
    AttemptFinished,
    AttemptStarted,
    BatchChanged,
    BatchPhase,
    BreakerChanged,
    DrainStarted,
    Event,
    FellBack,
    LimitsSeen,
    PlanMade,
    Retrying,
    RowFinished,
    RunStarted,
    Waiting,
)
from claudebatch.core.reports import (
    Basis,
    Bound,
    CachedPair,
    CacheEntries,
    CacheEntry,
    CacheGroup,
    CacheStats,
    CacheWhy,
    CacheYield,
    DeadlinePlan,
    Elsewhere,
    Estimate,
    EstimateLine,
    FieldChange,
    PlanPart,
    RunDetails,
    RunLine,
    RunSummary,
    SpendLine,
    UnknownAttempt,
)
from claudebatch.core.reports.batch_report import BatchLine
from claudebatch.core.reports.finding import Finding

CENT = PICO_PER_USD // 100
SONNET, HAIKU, OPUS = "claude-sonnet-5-5", "claude-haiku-5-5", "claude-opus-5-5"

Moment = tuple[str, float, tuple[Event, ...]]
"""A title, its second of the run, and what has happened since the moment before."""


def _answers(count: int, *, model: str = SONNET, pool: str = "sonnet-5.5") -> Iterator[Event]:
    usage = Usage(input_tokens=400, output_tokens=200)
    for _ in range(count):
        yield AttemptStarted(model, pool)
        yield AttemptFinished(model, pool, usage, CENT // 4, None, False)
        yield RowFinished("r", model, "api", True, None, 900, 0)


RUN: tuple[Moment, ...] = (
    ("the first second", 1.0, (RunStarted("r", 1500, 0, 0, 5 * PICO_PER_USD, "o", False),)),
    (
        "before the API has stated its limits",
        2.0,
        (AttemptStarted(SONNET, "sonnet-5.5"), Waiting("sonnet-5.5", "first answer", 2.0)),
    ),
    (
        "going on",
        30.0,
        (
            LimitsSeen("sonnet-5.5", 1000, 2_000_000, 400_000),
            AttemptFinished(SONNET, "sonnet-5.5", Usage(400, 200), CENT // 4, None, False),
            RowFinished("r", SONNET, "api", True, None, 900, 0),
            *_answers(420),
            *(RowFinished("c", SONNET, "cache", True, None, 0, CENT // 4) for _ in range(12)),
            RowFinished("d", SONNET, "duplicate", True, None, 0, CENT // 4),
        ),
    ),
    (
        "at a limit, other models beside it",
        40.0,
        (
            *_answers(480),
            *_answers(9, model=HAIKU, pool="haiku-5.5"),
            AttemptStarted("claude-opus-4-8", "opus-4.x"),
            AttemptStarted("claude-opus-4-7", "opus-4.x"),
            Waiting("sonnet-5.5", "requests per minute", 2.0),
            Waiting("opus-4.x", "rate limited", 12.0),
        ),
    ),
    (
        "a model that does not answer, a row that failed, requests that may be billed",
        45.0,
        (
            BreakerChanged("haiku-5.5", "open"),
            Waiting("haiku-5.5", "circuit open", 20.0),
            RowFinished("f", SONNET, "api", False, "invalid_request_error", 900, 0),
            AttemptFinished(OPUS, "opus-4.x", None, 62 * CENT, "timeout", True),
            FellBack("r", HAIKU, SONNET, "overloaded_error"),
            Retrying(SONNET, "overloaded_error", 1, 0.5),
        ),
    ),
    ("near the cap", 50.0, (Waiting("sonnet-5.5", "money", inf), *_answers(380))),
    (
        "after Ctrl-C",
        51.0,
        (DrainStarted("interrupted (Ctrl-C again stops at once)"),),
    ),
)
RESUMED: tuple[Moment, ...] = (
    (
        "a rehearsal that goes on",
        8.0,
        (RunStarted("r", 200, 183, 40 * CENT, None, "o", True), *_answers(3)),
    ),
)

_MADE_MS = 1_795_000_000_000
# Of local time, which is what people are told.
_SIX_PM_MS = round(datetime(2026, 11, 22, 18).astimezone().timestamp() * 1000)
_PARTS = (
    PlanPart(HAIKU, "short", 0, 900, pool="haiku-5.5", live=820 * CENT, batch=410 * CENT),
    PlanPart(HAIKU, "now", 100, 0, "at once", "haiku-5.5", seconds=240.0, live=95 * CENT),
)
PLAN = PlanMade(
    DeadlinePlan(
        21_600.0,
        _PARTS,
        give_up_s=14_520.0,
        chance=0.71,
        past_batches=14,
        latest_s=19_440.0,
        expected=624 * CENT,
        live_s=3000.0,
        live=915 * CENT,
    ),
    _SIX_PM_MS,
    _SIX_PM_MS - 7_080_000,
)
LATER = replace(PLAN, give_up_ms=_SIX_PM_MS - 4_200_000, revised=True, rows=300)


def _batch(number: int, state: BatchPhase, *, held: int = 410 * CENT, age_s: int = 0) -> Event:
    return BatchChanged(
        number,
        f"msgbatch_0{number}",
        state,
        8000,
        held,
        at_ms=_MADE_MS + age_s * 1000,
        created_ms=_MADE_MS,
        expires_ms=_MADE_MS + 86_400_000,
    )


BATCHES: tuple[Moment, ...] = (
    (
        "only batches are at work",
        720.0,
        (
            RunStarted("r", 24_000, 0, 0, 20 * PICO_PER_USD, "o", False),
            *(_batch(number, "submitted") for number in (1, 2, 3)),
            *(_batch(number, "in progress", age_s=720) for number in (1, 2, 3)),
        ),
    ),
    (
        "one is back, one is canceled, of one it is not known whether it was made",
        2500.0,
        (
            _batch(1, "collected", held=0, age_s=2500),
            *(RowFinished("b", SONNET, "api", True, None, 0, 0, via="batch") for _ in range(30)),
            _batch(2, "canceling", age_s=2500),
            BatchChanged(3, None, "looked for", 8000, 410 * CENT),
        ),
    ),
)

COMMAND = f"claudebatch run data/prompts.jsonl -m {OPUS} -o hard.jsonl --budget 10"
DONE = RunSummary(
    run_id="20261122T120000-a1b2c3",
    exit_code=ExitCode.OK,
    rows=200,
    succeeded=200,
    failed=0,
    finished_before=0,
    answered_now=180,
    cached_now=12,
    shared_now=8,
    pending=0,
    removed=0,
    spent_now=48 * CENT,
    spent=48 * CENT,
    unknown=0,
    unknown_attempts=0,
    cap=5 * PICO_PER_USD,
    saved=6 * CENT,
    usage=Usage(80_000, 36_000, 1000, 0, 50_000),
    requests=183,
    retries=3,
    p50_ms=900,
    p95_ms=2400,
    wall_s=32.0,
    output="data/prompts.results.jsonl",
    next_command="jq -r .text data/prompts.results.jsonl",
    expected_now=51 * CENT,
    prompt_cache=PromptSavings(CENT * 18 // 10, CENT // 10),
)
SUMMARIES = {
    "all is well": DONE,
    "limited, failed, asked again": replace(
        DONE,
        exit_code=ExitCode.ROWS_FAILED,
        succeeded=196,
        failed=4,
        failures={"invalid_request_error": 3, "timeout": 1},
        failure_examples={
            "invalid_request_error": "prompt is too long: 2,076,930 tokens > 1,000,000 maximum"
        },
        bound_by=(Bound("sonnet-5.5", "requests per minute", 21.8, 1000.0, SONNET),),
        next_command="claudebatch run data/prompts.jsonl --retry-failed",
    ),
    "answers that are of no use": replace(
        DONE, endings={"complete": 188, "cut_off": 4, "refused": 8, "empty": 0}
    ),
    "stopped by Ctrl-C": replace(
        DONE,
        exit_code=ExitCode.INTERRUPTED,
        succeeded=183,
        pending=17,
        stop_reason="stopped by Ctrl-C",
        next_command=COMMAND,
    ),
    "stopped by the cap, some of it maybe billed": replace(
        DONE,
        exit_code=ExitCode.BUDGET,
        succeeded=60,
        pending=140,
        unknown=62 * CENT,
        unknown_attempts=2,
        stop_reason="the cap is reached: $0.15 of it is left",
        next_command=COMMAND,
    ),
    "nothing to do": replace(
        DONE,
        finished_before=200,
        answered_now=0,
        cached_now=0,
        shared_now=0,
        saved=0,
        spent_now=0,
        usage=Usage(),
        requests=0,
        retries=0,
    ),
    "left with the API": replace(
        DONE,
        succeeded=0,
        answered_now=0,
        cached_now=0,
        shared_now=0,
        saved=0,
        spent_now=0,
        spent=0,
        usage=Usage(),
        requests=0,
        pending=200,
        in_batches=200,
        open_batches=2,
        held=123 * CENT,
        next_command="claudebatch run data/prompts.jsonl --batch",
    ),
    "answered by batch": replace(DONE, by_batch_now=180, p50_ms=0, p95_ms=0, retries=0),
    "answered by batch, some at once": replace(DONE, by_batch_now=120),
    "a rehearsal": replace(DONE, simulated=True, cap=None),
}

SPENT = SpendLine(
    "20261122T120000-a1b2c3",
    attempts=183,
    answers=180,
    usage=Usage(80_000, 36_000, cache_read_input_tokens=50_000),
    spent=48 * CENT,
    saved_cache=6 * CENT,
    cached=12,
    shared=8,
    models=(SONNET,),
    output="data/prompts.results.jsonl",
)
SPENDS = (
    SPENT,
    replace(
        SPENT,
        label="20261121T093015-0e06ac",
        attempts=1200,
        spent=12_345 * CENT // 10,
        unknown=62 * CENT,
        unknown_attempts=2,
        held=3 * CENT,
        saved_routing=40 * CENT,
        models=(OPUS, HAIKU),
        output="/home/ana/projects/reviews/november/reviews.results.jsonl",
    ),
)
DAYS = tuple(
    replace(SPENT, label=f"2026-11-{20 + n}", spent=cents * CENT, models=(), output="")
    for n, cents in enumerate((48, 0, 120))
)


def run_line(spend: SpendLine, **facts: object) -> RunLine:
    """The run of *spend*."""
    run = RunLine(
        spend.label,
        "finished",
        tag="",
        output=spend.output,
        folder=f"/home/ana/{spend.output.rpartition('/')[2]}.claudebatch",
        started="2026-11-22T12:00:00+00:00",
        ended="2026-11-22T12:00:32+00:00",
        rows=200,
        succeeded=200,
        failed=0,
        exit_code=0,
        spend=spend,
    )
    return replace(run, **facts)  # type: ignore[arg-type]


BATCH_LINES = (
    BatchLine(
        id="msgbatch_01HkcTjaV5uDC8jWR4ZsDV8d",
        requests=10_000,
        run=SPENDS[0].label,
        output=SPENDS[0].output,
        number=2,
        state="open",
        status="in_progress",
        counts=(("processing", 10_000), ("succeeded", 0)),
        created_ms=_MADE_MS,
        expires_ms=_MADE_MS + 86_400_000,
    ),
    BatchLine(
        id="msgbatch_01GnPpTjaV5uDC8jWR4ZsDVb2",
        requests=812,
        status="ended",
        created_ms=_MADE_MS - 3_600_000,
        ended_ms=_MADE_MS - 1_200_000,
    ),
    BatchLine(
        id="msgbatch_013Zva2CMHLNnXjNJJKqJ2EF",
        requests=10_000,
        run=SPENDS[0].label,
        output=SPENDS[0].output,
        number=1,
        state="collected",
        status="ended",
        counts=(("processing", 0), ("succeeded", 9988), ("errored", 12)),
        created_ms=_MADE_MS - 7_200_000,
        expires_ms=_MADE_MS + 79_200_000,
        ended_ms=_MADE_MS - 4_800_000,
    ),
    BatchLine(
        id="",
        requests=4_000,
        run=SPENDS[0].label,
        output=SPENDS[0].output,
        number=3,
        state="perhaps made",
    ),
)
RUNS = (
    run_line(SPENDS[0]),
    run_line(SPENDS[1], state="died", tag="nightly", ended=None, exit_code=None),
)
DETAILS = RunDetails(
    RUNS[1],
    (replace(SPENDS[1], label=OPUS, models=(), output=""),),
    (UnknownAttempt(17, "row-3", 1_795_000_000_000, OPUS, 31 * CENT, "timeout", None, None),),
)

_HISTORY = Basis("history", 194, error=0.24, low=94, high=378)
ESTIMATE = Estimate(
    2000,
    200,
    30,
    (
        EstimateLine(
            SONNET,
            "default",
            1500,
            90,
            1_234_567,
            345_678,
            12 * CENT,
            50 * CENT,
            210 * CENT,
            request_bytes=3_703_701,
            inputs=Basis("history", 194, 0.93),
            outputs=_HISTORY,
        ),
        EstimateLine(
            OPUS,
            "hard questions",
            270,
            0,
            98_765,
            54_321,
            90 * CENT,
            120 * CENT,
            410 * CENT,
            request_bytes=276_542,
        ),
    ),
    5 * PICO_PER_USD,
    "data/prompts.results.jsonl",
    200.0,
    "requests per minute",
    "sonnet-5.5",
    batch=85 * CENT,
    elsewhere=(Elsewhere(HAIKU, 55 * CENT, 27 * CENT), Elsewhere(OPUS, 300 * CENT, 150 * CENT)),
)

NOW = 1_796_000_000.0
_DAY = 86_400.0
CACHED_ENTRY = CacheEntry(
    key="3f9c1a2b7d40e1f2a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f80910",
    model=SONNET,
    stored=NOW - 3 * _DAY,
    expires=NOW + 27 * _DAY,
    size=1893,
    input_tokens=1570,
    output_tokens=162,
    worth=CENT // 2,
    hits=41,
    found=NOW - 7200,
    words="Summarise in one sentence: Tide pools are shallow pools of seawater that form",
    row="tides",
    file="prompts.jsonl",
    line=17,
    run="20261127T101500-a1b2c3",
)
CACHED = CacheEntries(
    (
        CACHED_ENTRY,
        replace(
            CACHED_ENTRY,
            key="9c21b7f07354" + "0" * 52,
            model=OPUS,
            stored=NOW - 41 * _DAY,
            expires=NOW - 11 * _DAY,
            hits=0,
            words="次の文を英語に訳してください「雨が降っても、市場は開いています。」",
        ),
        replace(
            CACHED_ENTRY,
            key="0b2e9b5c4742" + "0" * 52,
            model=HAIKU,
            stored=NOW - 600,
            size=45_000,
            worth=0,
            words="→ Positive.",
        ),
    ),
    1234,
)
CACHED_PAIR = CachedPair(
    replace(
        CACHED_ENTRY, betas=("context-1m-2025-08-07",), repeat=1, place="gw.example (6d87525f)"
    ),
    {
        "model": SONNET,
        "max_tokens": 200,
        "system": "Answer in French.",
        "messages": [
            {
                "role": "user",
                "content": [
                    {
                        "type": "image",
                        "source": {
                            "type": "base64",
                            "media_type": "image/png",
                            "data": "iVBORw" * 99,
                        },
                    },
                    {"type": "text", "text": "What is in it?"},
                ],
            }
        ],
    },
    True,
    {"content": [{"type": "text", "text": "Un chat.\nIl dort."}], "stop_reason": "end_turn"},
)
_WHY = CacheWhy("tides", "prompts.jsonl:17", CACHED_ENTRY.key, "hit", entry=CACHED_ENTRY)
WHYS = {
    "a hit": _WHY,
    "the nearest": replace(
        _WHY,
        kind="nearest",
        changes=(
            FieldChange("model", SONNET, OPUS),
            FieldChange("system prompt", "'Answer in one word.'", "'Answer in French in one …'"),
            FieldChange("prompt", "'…so far.'", "'…so far.\\n'", "only blanks or line ends differ"),
        ),
        unread=12,
    ),
    "too old": replace(_WHY, kind="expired", reason="answered 41 days ago, ttl 30 days"),
    "not kept": replace(_WHY, kind="not kept", reason="answered 2 hours ago, it paused its turn"),
    "like no other": replace(_WHY, kind="nothing like it", entry=None, entries=1234),
    "of a run": replace(
        _WHY,
        kind="nothing like it",
        where="run 20261127T101500-a1b2c3",
        asked="asked for $0.0050, and kept since; as things stood before:",
        entry=None,
    ),
    "of none": replace(_WHY, kind="no cache", reason="the response cache is empty", entry=None),
}
_OF_SONNET = CacheGroup(SONNET, 1200, 2_500_000, 4100, 1234 * CENT)
CACHE = CacheStats(
    "/home/ana/.cache/claudebatch/responses",
    1234,
    12_900_000,
    2**31,
    2_592_000.0,
    by_model=(_OF_SONNET, CacheGroup(HAIKU, 34, 40_000, 0, 0)),
    by_age=(
        CacheGroup("today", 30, 60_000, 12, 3 * CENT),
        replace(_OF_SONNET, label="8 to 30 days"),
    ),
    use_by_model=(CacheYield(SONNET, 5000, 4100, 1234 * CENT), CacheYield(HAIKU, 34, 0, 0)),
    use_by_run=(
        CacheYield("20261128T090000-a1b2c3", 5000, 4100, 1234 * CENT),
        CacheYield("20261127T101500-d4e5f6", 34, 0, 0),
    ),
)
FINDINGS = (
    Finding("versions", "ok", "claudebatch 0.1.0, Python 3.11.7, SQLite 3.40.1"),
    Finding(
        "clock",
        "warning",
        "95 s ahead of the API's: caps by day and dates of `retry-after` are off by so much",
        fix="set the clock (NTP)",
    ),
    Finding(
        "api",
        "failure",
        "api.anthropic.com does not answer: connection refused",
        fix="check the network, the proxy variables and ANTHROPIC_BASE_URL",
    ),
)
