"""Assembles the events of a streamed answer into the message that a plain answer would
have been.

Written by rules rather than by a list of types, so that unknown blocks and members are
preserved: a string in a delta is appended to the member of the same name; the two
exceptions are handled by name below. The SDK's own accumulation builds typed objects,
takes twenty times the CPU and drops unknown members.
"""

from __future__ import annotations

from typing import Any

import msgspec

from claudebatch.core.domain import PromptTokens
from claudebatch.core.message import BadAnswer
from claudebatch.core.whole_json import is_plain, joined, joined_within, loose, marked, repaired


class StreamFailed(Exception):
    """The stream carried an `error` event, with the API's own *type*, *code* and
    *message*.
    """

    def __init__(self, type: str | None, code: str | None, message: str) -> None:
        super().__init__(message)
        self.type = type
        self.code = code
        self.message = message


class _Details(msgspec.Struct):
    error_code: str | None = None


class _EventError(msgspec.Struct):
    type: str | None = None
    message: str | None = None
    details: _Details | None = None


class _Event(msgspec.Struct):
    type: str
    index: int | None = None
    message: dict[str, Any] | None = None
    content_block: dict[str, Any] | None = None
    delta: dict[str, Any] | None = None
    usage: Any = None
    error: _EventError | None = None


_event = msgspec.json.Decoder(_Event)
_raw = msgspec.json.Decoder(msgspec.Raw)
_encoder = msgspec.json.Encoder()

# A signature arrives in one piece and replaces the empty one of the start; appended to
# it, the API would refuse the block in the next turn.
_WHOLE = "signature"
_PROMPT_COUNTS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
_SHOWN = ("text", "tool_use")
"""Blocks whose text is streamed while it is produced; thoughts may be withheld."""


class StreamAssembler:
    """Takes the data of one event after another; `done` once the message is
    complete.
    """

    def __init__(self) -> None:
        # Mutable, changed by `take` only: the message so far, its finished blocks, the
        # open block with the pieces of its strings, and whether `message_stop` arrived.
        self._message: dict[str, Any] | None = None
        self._content: list[dict[str, Any]] = []
        self._open: dict[str, Any] | None = None
        self._pieces: dict[str, list[str]] = {}
        self.done = False
        # Mutable, too: characters that could not be read, and whether the end of the
        # stream said what the output came to.
        self._replaced = 0
        self._counted = False
        self.read: PromptTokens | None = None
        """The tokens of the prompt; None until the message has begun."""
        self.grown = 0
        """Bytes of UTF-8 of the visible output so far."""
        self.hides = False
        """Whether this block or an earlier one has output that is counted but not
        visible: thoughts.
        """

    def take(self, data: bytes) -> None:
        """Add the next event. Raises `BadAnswer` for an event out of order,
        `StreamFailed` for an `error` event.
        """
        event = _read(data)
        match event.type:
            case "content_block_delta":
                self._grow(event)
            case "content_block_start":
                self._begin_block(event)
            case "content_block_stop":
                self._end_block(event)
            case "message_start":
                self._begin(event)
            case "message_delta":
                self._amend(event)
            case "message_stop":
                self._finish()
            case "error":
                raise _failure(event)
            case _:  # `ping`, and types of the future: the API asks clients to ignore them
                pass

    def message(self) -> bytes:
        """The whole message as JSON; raises `BadAnswer` before `message_stop`."""
        if not self.done or self._message is None:
            raise BadAnswer("the stream ended before the message did")
        try:
            return self._encoded({**self._message, "content": self._content})
        except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError) as error:
            raise BadAnswer(f"the stream adds up to no message: {error}") from error

    def _encoded(self, message: dict[str, Any]) -> bytes:
        replaced = self._replaced
        try:
            body = _encoder.encode(message)
        except UnicodeEncodeError:
            message, lost = joined_within(message)
            body = _encoder.encode(message)
            replaced += lost
        if not is_plain(body):  # the input of a tool stands as the model wrote it
            mended = repaired(body)
            body, replaced = mended.body, replaced + mended.replaced
        return marked(body, replaced)

    def _begin(self, event: _Event) -> None:
        if self._message is not None or event.message is None or event.message.get("content"):
            raise _unexpected(event)
        self._message = event.message
        usage = event.message.get("usage")
        if isinstance(usage, dict):
            counts = [usage.get(name) for name in _PROMPT_COUNTS]
            self.read = PromptTokens(
                *(count if isinstance(count, int) and count > 0 else 0 for count in counts)
            )

    def _begin_block(self, event: _Event) -> None:
        in_turn = (
            self._message is not None and self._open is None and event.index == len(self._content)
        )
        if not in_turn or event.content_block is None:
            raise _unexpected(event)
        self._open = event.content_block
        self._pieces = {}
        self.hides = self.hides or self._open.get("type") not in _SHOWN

    def _grow(self, event: _Event) -> None:
        block = self._block(event)
        for name, value in (event.delta or {}).items():
            if name == "type":
                continue
            if name == "citation":
                block["citations"] = [*(block.get("citations") or ()), value]
            elif isinstance(value, str) and name != _WHOLE:
                self._pieces.setdefault(name, []).append(value)
                if block.get("type") in _SHOWN:
                    self.grown += len(value) if value.isascii() else _size(value)
            else:
                block[name] = value

    def _end_block(self, event: _Event) -> None:
        block = self._block(event)
        for name, pieces in self._pieces.items():
            text, lost = joined("".join(pieces))
            self._replaced += lost
            if name == "partial_json":
                if text:
                    block["input"], lost = _input(text)
                    self._replaced += lost
                else:
                    block["input"] = block.get("input", {})
            else:
                before = block.get(name)
                block[name] = before + text if isinstance(before, str) else text
        self._content.append(block)
        self._open = None

    def _block(self, event: _Event) -> dict[str, Any]:
        if self._open is None or event.index != len(self._content):
            raise _unexpected(event)
        return self._open

    def _amend(self, event: _Event) -> None:
        if self._message is None:
            raise _unexpected(event)
        self._message.update(event.delta or {})
        usage = self._message.get("usage")
        if not isinstance(usage, dict):
            usage = self._message["usage"] = {}
        totals = event.usage if isinstance(event.usage, dict) else {}
        self._counted = self._counted or totals.get("output_tokens") is not None
        # Counts are totals so far and replace earlier ones; a missing or null count
        # must not erase that of the start, or the answer would look cheaper than it
        # was.
        usage.update({name: n for name, n in totals.items() if n is not None or name not in usage})

    def _finish(self) -> None:
        # Without its closing counts a message would be booked below its price.
        if (
            self._message is None
            or self._open is not None
            or self._message.get("stop_reason") is None
        ):
            raise BadAnswer(
                "the stream says that it is complete, and parts of the message are missing"
            )
        if not self._counted:
            # The count of the start is of its first token. Left there, it would be the
            # bill.
            self._message["usage"] = {**self._message["usage"], "output_tokens": None}
        self.done = True


def _input(text: str) -> tuple[object, int]:
    """A tool's input as the model wrote it, and how many of its characters cannot be
    read. Where `max_tokens` cut it off, the text is
    wrapped in the form that the API accepts in a next turn.
    """
    try:
        return _raw.decode(text), 0
    except msgspec.MsgspecError:
        mended = repaired(text.encode())
        try:
            return _raw.decode(mended.body), mended.replaced
        except msgspec.MsgspecError:
            return {"INVALID_JSON": text}, 0


def _read(data: bytes) -> _Event:
    """The event in *data*; raises `BadAnswer`."""
    try:
        return _event.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        try:
            return msgspec.convert(loose(data), _Event)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise BadAnswer(f"an event of the stream is broken: {error}") from error


def _size(text: str) -> int:
    return len(text.encode(errors="replace"))


def _unexpected(event: _Event) -> BadAnswer:
    return BadAnswer(f'the stream is out of order: "{event.type[:40]}" of block {event.index}')


def _failure(event: _Event) -> StreamFailed:
    error = event.error or _EventError()
    code = error.details.error_code if error.details is not None else None
    return StreamFailed(error.type, code, error.message or "the stream broke off with an error")
