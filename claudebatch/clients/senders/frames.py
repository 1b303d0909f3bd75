"""What a driver and its senders tell each other, as bytes.

The driver says `Welcome`, then `Ask` for each request; the sender says `Ready`, then
`Answered`, `Told` or `Errored` for each, in any order. Both say `Alive` while they have
nothing else to say.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from claudebatch.core.domain import AnswerObserver, Call, Prompt, PromptTokens, Reply, Route, Size
from claudebatch.core.limit_headers import Limits

What: TypeAlias = Literal["answer", "count"]
_NOBODY = Route("", "")


class Welcome(msgspec.Struct, frozen=True, tag="welcome"):
    """All that a sender needs to know beside the requests."""

    version: str
    """The driver's claudebatch: another one is sent away."""
    base_url: str | None
    api_key: str | None
    """None: where the SDK finds them."""
    concurrency: int
    idle_timeout_s: float
    variables: dict[str, str] = {}
    """What the driver's environment says of the API, for hosts that do not share it."""

    def __repr__(self) -> str:
        # It has the key in it, and a traceback must not.
        return "Welcome(…)"


class Ask(msgspec.Struct, frozen=True, tag="ask"):
    """One request, with what a client looks at."""

    number: int
    what: What
    row: int
    model: str
    body: bytes
    output_bound: int
    deadline_s: float
    betas: tuple[str, ...] = ()
    speed: str | None = None
    watched: bool = False
    """Whether the driver wants to see the answer grow."""

    def call(self, watch: AnswerObserver | None) -> Call:
        """The request as a client takes it."""
        params = {} if self.speed is None else {"speed": self.speed}
        return Call(
            row=self.row,
            prompt=Prompt("", params, betas=self.betas),
            route=_NOBODY,
            model=self.model,
            body=self.body,
            size=Size(0, 0, 0, self.output_bound),
            deadline_s=self.deadline_s,
            watch=watch,
        )


class CalledOff(msgspec.Struct, frozen=True, tag="off"):
    """Nobody waits for a request any more."""

    number: int


class Alive(msgspec.Struct, frozen=True, tag="alive"):
    """The one who says this is there."""


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """A sender takes requests now."""


class Answered(msgspec.Struct, frozen=True, tag="answered"):
    """The answer to a request."""

    number: int
    reply: Reply


class Told(msgspec.Struct, frozen=True, tag="told"):
    """What a count came to."""

    number: int
    value: int | None


class Errored(msgspec.Struct, frozen=True, tag="error"):
    """A request, or the welcome (number 0), ended with an error."""

    number: int
    kind: str
    """The name of its class."""
    facts: dict[str, str | int | float | bool | None]
    limits: Limits | None = None


class Seen(msgspec.Struct, frozen=True, tag="seen"):
    """A watched answer has grown; in the order in which that happened."""

    number: int
    began: bool = False
    limits: Limits | None = None
    """What its head said."""
    read: PromptTokens | None = None
    size: int = 0
    """Bytes that came since the last report."""
    hides: bool = False


ToSender: TypeAlias = Welcome | Ask | CalledOff | Alive
ToDriver: TypeAlias = Ready | Answered | Told | Errored | Seen | Alive

_ENCODER = msgspec.msgpack.Encoder()
_TO_SENDER = msgspec.msgpack.Decoder(ToSender)
_TO_DRIVER = msgspec.msgpack.Decoder(ToDriver)


class BadFrame(Exception):
    """The bytes are no word of these: another version speaks, or something else."""


def frame(word: ToSender | ToDriver) -> bytes:
    """*word* as bytes."""
    return _ENCODER.encode(word)


def to_sender(data: bytes) -> ToSender:
    """The word of a driver; raises `BadFrame`."""
    try:
        return _TO_SENDER.decode(data)  # type: ignore[no-any-return]
    except msgspec.MsgspecError as error:
        raise BadFrame(str(error)) from error


def to_driver(data: bytes) -> ToDriver:
    """The word of a sender; raises `BadFrame`."""
    try:
        return _TO_DRIVER.decode(data)  # type: ignore[no-any-return]
    except msgspec.MsgspecError as error:
        raise BadFrame(str(error)) from error


def ask(number: int, what: What, call: Call) -> Ask:
    """The request for *call*."""
    speed = call.prompt.params.get("speed")
    return Ask(
        number=number,
        what=what,
        row=call.row,
        model=call.model,
        body=call.body,
        output_bound=call.size.output_bound,
        deadline_s=call.deadline_s,
        betas=call.prompt.betas,
        speed=speed if isinstance(speed, str) else None,
        watched=call.watch is not None,
    )
