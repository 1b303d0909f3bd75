"""The words of claudebatch: what a prompt, a call, a reply and an outcome are.

Everything here is frozen plain data. No I/O, no clock, no third-party package. Money is
an `int` of pico-dollars (`Pico`): the finest price of the table, times the 1.1 of
`inference_geo`, is still a whole number of them, and sums of integers are exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from decimal import Decimal
from operator import add
from typing import Any, Literal, Protocol, TypeAlias

from claudebatch.core.billed_kinds import BilledKind, billed, billed_kinds, counts_of
from claudebatch.core.frozen import value
from claudebatch.core.limit_headers import Limits
from claudebatch.core.tries import RowTries

Pico: TypeAlias = int
PICO_PER_USD: int = 10**12

Source = Literal["api", "cache", "duplicate"]
Via: TypeAlias = Literal["live", "batch"]
"""How a request is sent: at once and alone, or in a message batch."""
RowKind: TypeAlias = Literal["waits", "at once", "sent", "kept"]
"""What a plan may do with a row: either road; only at once; it is in a batch now; its
rule keeps it in batches, whatever the deadline.
"""


def to_usd(amount: Pico) -> Decimal:
    """The exact dollars of *amount*."""
    return Decimal(amount).scaleb(-12)


def usd_text(amount: Pico) -> str:
    """The exact dollars of *amount* as people and programs read them: no exponent, no
    zeros at the end.
    """
    if not amount:
        return "0"
    whole, rest = divmod(abs(amount), PICO_PER_USD)
    sign = "-" if amount < 0 else ""
    return f"{sign}{whole}.{rest:012d}".rstrip("0").rstrip(".") if rest else f"{sign}{whole}"


def from_usd(dollars: Decimal) -> Pico:
    """*dollars* in pico-dollars; a fraction of one is rounded up, so that a price is
    never understated.
    """
    exact = dollars.scaleb(12)
    whole = int(exact)
    return whole + 1 if exact > whole else whole


@value
class Usage:
    """What the API says it counted, under the API's own names (tokens; searches for
    web_search_requests). The first fields are what it bills: a new kind is a line
    there.

    `input_tokens` are only those after the last cache breakpoint; the prompt's whole
    length is `total_input`.
    """

    input_tokens: int = billed(
        BilledKind(
            "input_tokens",
            "input",
            genai="input_mtok",
            times_input=None,
            heading="input",
            added=False,
        )
    )
    output_tokens: int = billed(
        BilledKind(
            "output_tokens",
            "output",
            side="output",
            genai="output_mtok",
            times_input=None,
            heading="output",
            added=False,
        )
    )
    ephemeral_5m_input_tokens: int = billed(
        BilledKind(
            "cache_write_5m_tokens",
            "cache_write_5m",
            group="cache_creation",
            rest_of="cache_creation_input_tokens",
            genai="cache_write_mtok",
            times_input=Decimal("1.25"),
            shown_as="cache_creation_input_tokens",
            heading="cache write",
            added=False,
        )
    )
    ephemeral_1h_input_tokens: int = billed(
        BilledKind(
            "cache_write_1h_tokens",
            "cache_write_1h",
            group="cache_creation",
            genai="cache_write_1h_mtok",
            times_input=Decimal(2),
            only_with=b'"1h"',
            shown_as="cache_creation_input_tokens",
            heading="cache write",
            added=False,
        )
    )
    cache_read_input_tokens: int = billed(
        BilledKind(
            "cache_read_tokens",
            "cache_read",
            limited=False,
            genai="cache_read_mtok",
            heading="cache read",
            added=False,
        )
    )
    web_search_requests: int = billed(
        BilledKind("web_searches", "search", side="searches", group="server_tool_use", added=False)
    )
    inference_geo: str | None = None
    speed: str | None = None
    service_tier: str | None = None
    thinking_tokens: int = 0
    """Of `output_tokens`, those that the model thought with."""

    @property
    def cache_creation_input_tokens(self) -> int:
        """Tokens written to the prompt cache, whatever their time to live."""
        return self.reported()["cache_creation_input_tokens"]

    @property
    def total_input(self) -> int:
        """Every token of the prompt, cached or not."""
        return sum(_prompt_counts(self))

    @property
    def limited_input(self) -> int:
        """What counts against input tokens per minute: cache reads are free."""
        return sum(_limited_counts(self))

    def reported(self) -> dict[str, int]:
        """The counts as reports show them, by name: all writes to the cache are one."""
        sums: dict[str, int] = {}
        for kind, count in zip(BILLED_KINDS, kind_counts(self), strict=True):
            sums[kind.reported] = sums.get(kind.reported, 0) + count
        return sums

    def __add__(self, more: Usage) -> Usage:
        """The counts of both; of no place, speed or tier."""
        return Usage.of(map(add, kind_counts(self), kind_counts(more)))

    @classmethod
    def of(cls, counts: Iterable[int]) -> Usage:
        """As many of each of `BILLED_KINDS` as *counts* say, in their order."""
        by_name: dict[str, Any] = {
            kind.name: count for kind, count in zip(BILLED_KINDS, counts, strict=True)
        }
        return cls(**by_name)


BILLED_KINDS: tuple[BilledKind, ...] = billed_kinds(Usage)
"""Everything that the API bills apart: input, then output, then searches."""
TOKEN_KINDS = tuple(kind for kind in BILLED_KINDS if kind.side != "searches")
"""Those that are priced by the token, with the discounts and surcharges of tokens."""

kind_counts = counts_of(BILLED_KINDS)
"""The count of each of `BILLED_KINDS` in a `Usage`."""
_prompt_counts = counts_of(kind for kind in BILLED_KINDS if kind.side == "input")
_limited_counts = counts_of(kind for kind in BILLED_KINDS if kind.side == "input" and kind.limited)


@value
class Prompt:
    """One input line, whatever its shape was, as Messages API parameters."""

    id: str
    params: Mapping[str, Any]
    """Every Messages parameter except `model`; defaults are already merged in."""
    model: str | None = None
    """The line's own model, if it names one."""
    tags: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Values of the line's `metadata` that rules may look at."""
    digest: bytes = b""
    """SHA-256 of the line's own content: equal content, equal digest, whatever the
    defaults are.
    """
    has_own_id: bool = True
    file: str = ""
    line: int = 0
    betas: tuple[str, ...] = ()
    """The beta headers that its request needs."""
    columns: bytes = b""
    """The fields of its line that are no part of the request, as one JSON object in
    their own order and spelling; empty: there are none.
    """
    has_number_id: bool = False
    """Whether its own id is a number in its line."""
    attached: int = 0
    """Bytes of files that its request holds, and its line does not."""
    answers: int = 1
    """How many answers its line wants, each as a row of its own."""
    repeat: int = 0
    """Which of them this one is, counted from 0."""
    extract: str = ""
    """What is to be found in the answer, as `--extract` says it; empty: nothing."""


@value
class Size:
    """How many tokens a request takes: expected (for pace and estimates) and at most
    (for money).
    """

    input_tokens: int
    """Expected input tokens."""
    input_bound: int
    """Never fewer than the API will count."""
    output_tokens: int
    """Expected output tokens."""
    output_bound: int
    """`max_tokens`: the API never produces more."""
    web_searches_bound: int = 0


@value
class Route:
    """Which model a prompt goes to first, which rule said so, and who comes next if
    that one cannot.
    """

    model: str
    rule: str
    """The rule's name; `line`, `--model` or `default` where no rule decided."""
    fallbacks: tuple[str, ...] = ()


PREWARM = "pre-warm"
"""In place of a rule: of requests that write a beginning to the API's prompt cache, ask
for no output, and are no row's answer.
"""


class Hold:
    """Money set aside for one attempt, and what those below the budget know of the
    attempt. It is ended once.
    """

    __slots__ = ("amount", "cost", "day", "ended", "lasts", "sent", "worst")

    def __init__(self, amount: Pico, worst: Pico, day: str = "", *, lasts: bool = False) -> None:
        """*amount* is set aside; *worst* is the most that the attempt can cost, and no
        less. *lasts*: for hours, as those of message batches do.
        """
        self.lasts = lasts
        self.amount = amount
        self.worst = worst
        self.day = day
        """The UTC day that it counts for, whenever it is sent; empty where no day is
        watched.
        """
        # Mutable: set by the layer that sends the attempt; errors cannot tell it, for a
        # cancellation comes from outside.
        self.sent = False
        """Whether it may have left."""
        self.cost: Pico | None = None
        """What it turned out to cost; None: nobody has said so."""
        # Mutable: set by the budget, once.
        self.ended = False


FAST = " fast"
"""What tells fast mode from the model itself where rate limits are meant."""


@value
class PromptTokens:
    """The tokens of one prompt, as soon as its answer begins."""

    fresh: int
    """Those after the last mark, or all."""
    written: int = 0
    """Written to the prompt cache."""
    read: int = 0
    """Read from it."""

    @property
    def limited(self) -> int:
        """Those that count against the limit of input."""
        return self.fresh + self.written

    @property
    def total(self) -> int:
        """All of them."""
        return self.fresh + self.written + self.read


@value
class PromptSavings:
    """What the API's prompt cache has saved."""

    saved: Pico = 0
    """By how much answers would have cost more without it; below 0: less."""
    writes: Pico = 0
    """What the tokens cost that were written to it; counted in `saved` already."""

    def __add__(self, more: PromptSavings) -> PromptSavings:
        return PromptSavings(self.saved + more.saved, self.writes + more.writes)


class AnswerObserver(Protocol):
    """Is told of an answer while it comes, by the sender; so it asks for a
    stream.
    """

    def began(self, limits: Limits | None) -> None:
        """The head of the response came: the request was let in, and its headers are of
        now.
        """

    def read(self, prompt: PromptTokens) -> None:
        """The prompt is read: the tokens that it was counted as."""

    def showed(self, size: int) -> None:
        """The answer has grown by *size* bytes of UTF-8, as the model wrote them."""

    def hides(self) -> None:
        """From now on it grows by what is not shown, or not as it is counted: the model
        thinks.
        """


class _Both:
    """Two observers of one answer."""

    def __init__(self, one: AnswerObserver, other: AnswerObserver) -> None:
        self._observers = one, other

    def began(self, limits: Limits | None) -> None:
        for observer in self._observers:
            observer.began(limits)

    def read(self, prompt: PromptTokens) -> None:
        for observer in self._observers:
            observer.read(prompt)

    def showed(self, size: int) -> None:
        for observer in self._observers:
            observer.showed(size)

    def hides(self) -> None:
        for observer in self._observers:
            observer.hides()


@value
class Call:
    """A prompt on its way to one model."""

    row: int
    """The row's number in the run's journal."""
    prompt: Prompt
    route: Route
    model: str
    body: bytes
    """The request as JSON, keys sorted, `model` included: what is sent, and what the
    cache key is made of.
    """
    size: Size
    deadline_s: float = 600.0
    """How long one attempt may take in all."""
    hold: Hold | None = field(default=None, compare=False, repr=False)
    """The money that is set aside for this attempt, where there is a budget."""
    watch: AnswerObserver | None = field(default=None, compare=False, repr=False)
    """Who wants to see the answer grow; None: nobody."""
    tries: RowTries | None = field(default=None, compare=False, repr=False)
    """What became of the row's attempts so far; None: nobody keeps count."""

    @property
    def limited_as(self) -> str:
        """The name by which a catalogue knows its pool: see `limited_as`."""
        # Almost no prompt names a speed: the body need not be searched.
        if "speed" not in self.prompt.params:
            return self.model
        return limited_as(self.model, fast=asks_for_fast(self))

    @property
    def lane_as(self) -> str:
        """The same of the model that its route names first."""
        return limited_as(self.route.model, fast=self.prompt.params.get("speed") == "fast")

    @property
    def prewarms(self) -> bool:
        """Whether it only writes to the API's prompt cache: then its reply answers no
        row.
        """
        # A rule of the user's may have that name.
        return self.route.rule == PREWARM and self.size.output_bound == 0

    @property
    def day(self) -> str:
        """The UTC day whose money it takes; empty where no day is watched."""
        return self.hold.day if self.hold is not None else ""

    def under(self, hold: Hold) -> Call:
        """This call, with its money set aside."""
        return self._with(hold, self.watch, self.tries)

    def watched(self, watch: AnswerObserver) -> Call:
        """This call, whose answer *watch* sees grow, too."""
        both = watch if self.watch is None else _Both(self.watch, watch)
        return self._with(self.hold, both, self.tries)

    def counted(self, tries: RowTries) -> Call:
        """This call, whose attempts *tries* counts."""
        return self._with(self.hold, self.watch, tries)

    def _with(
        self, hold: Hold | None, watch: AnswerObserver | None, tries: RowTries | None
    ) -> Call:
        # Runs for every attempt: `dataclasses.replace` takes four times as long. A test
        # holds that no field is left out.
        return Call(
            row=self.row,
            prompt=self.prompt,
            route=self.route,
            model=self.model,
            body=self.body,
            size=self.size,
            deadline_s=self.deadline_s,
            hold=hold,
            watch=watch,
            tries=tries,
        )


def limited_as(model: str, *, fast: bool) -> str:
    """The name of *model* where its rate limits are meant: fast mode has a pool of its
    own.
    """
    return f"{model}{FAST}" if fast else model


def asks_for_fast(call: Call) -> bool:
    """Whether *call* asks for fast mode: its prompt does, and a hop to another model
    left it in.

    The body alone may hold the words elsewhere, in an example of a tool's input for
    one.
    """
    return call.prompt.params.get("speed") == "fast" and b'"speed":"fast"' in call.body


@value
class Reply:
    """An answer that we hold in full."""

    message: bytes
    """The API's message, as compact JSON on one line."""
    model: str
    """The model that answered, as the API names it."""
    text: str
    """All text blocks, joined."""
    stop_reason: str | None
    usage: Usage
    raw_usage: bytes = b"{}"
    """The message's `usage` as the API wrote it; null where it has none."""
    counted: bool = True
    """Whether `usage` says what is billed; False: that is not known."""
    replaced_characters: int = 0
    """Of the message, how many came broken and became U+FFFD."""
    request_id: str | None = None
    source: Source = "api"
    via: Via | None = "live"
    """None: it came out of the response cache."""
    cost: Pico = 0
    """What this reply cost us now: 0 for a cached or shared one."""
    cost_known: bool = True
    attempts: int = 1
    attempt_id: int | None = None
    """The journal's number of the attempt that brought it; None for an answer from the
    cache.
    """
    latency_ms: int = 0
    simulated: bool = False
    limits: Limits | None = None
    fallback_reason: str | None = None
    """Why the model that was asked first did not answer; None when it did."""
    fits: bool = True
    """Whether it fits its row's schema; True where there is none."""

    def paid(self, cost: Pico | None, attempt_id: int) -> Reply:
        """This reply with its cost (None: it is not known) and the attempt that brought
        it.
        """
        # Runs for every answer, as `Call.under` does.
        return Reply(
            message=self.message,
            model=self.model,
            text=self.text,
            stop_reason=self.stop_reason,
            usage=self.usage,
            raw_usage=self.raw_usage,
            counted=self.counted,
            replaced_characters=self.replaced_characters,
            request_id=self.request_id,
            source=self.source,
            via=self.via,
            cost=cost or 0,
            cost_known=cost is not None,
            attempts=self.attempts,
            attempt_id=attempt_id,
            latency_ms=self.latency_ms,
            simulated=self.simulated,
            limits=self.limits,
            fallback_reason=self.fallback_reason,
            fits=self.fits,
        )


@value
class Failure:
    """Why a row has no answer, in the words of the results file."""

    type: str
    message: str
    status: int | None = None
    request_id: str | None = None
    retryable: bool = False


@value
class Succeeded:
    """A row that has its answer."""

    call: Call
    reply: Reply


@value
class Failed:
    """A row that was tried and has none."""

    call: Call
    failure: Failure
    attempts: int
    latency_ms: int


Outcome: TypeAlias = Succeeded | Failed
