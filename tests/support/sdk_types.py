"""Holds request bodies against the SDK's own parameter types, so that a field the API
would refuse fails a test.

The types are TypedDicts. pydantic checks them all the same: each value against its
type, each required key and, in the strict form below, that there is no key which the
SDK does not know, however deep it lies. (Only a content block may carry more: in its
place the SDK also takes the blocks of answers, and those allow anything.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from pydantic import ConfigDict, TypeAdapter, ValidationError

SENT_AS_HEADERS = frozenset({"user_profile_id", "workspace_id"})
"""Parameters of `messages.create` that are no fields of the body."""


class _Strict(MessageCreateParamsNonStreaming):
    # TypedDicts inside this one have no configuration of their own and take it over.
    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]


KNOWN = frozenset(_Strict.__annotations__) - SENT_AS_HEADERS
"""Every field that a body may have on its first level."""


class NotSdkParams(AssertionError):
    """A body that the SDK's types do not allow."""


def check_body(body: Mapping[str, Any], *, strict: bool = False) -> None:
    """Raise `NotSdkParams` unless *body* is what `messages.create` would send; *strict*
    takes no "1" for 1.
    """
    unknown = body.keys() - KNOWN
    if unknown:
        raise NotSdkParams(f"unknown to the SDK: {', '.join(sorted(unknown))}")
    try:
        _exhaust(_adapter().validate_python(dict(body), strict=strict))
    except ValidationError as error:
        raise NotSdkParams(str(error)) from error


def check_typed(typed: Any, value: Any) -> None:
    """Raise `NotSdkParams` unless the SDK's TypedDict *typed* allows *value*."""
    try:
        _exhaust(_adapter_of(typed).validate_python(value, strict=True))
    except ValidationError as error:
        raise NotSdkParams(str(error)) from error


@cache
def _adapter_of(typed: Any) -> TypeAdapter[Any]:
    if getattr(typed, "__extra_items__", None) is object:
        return TypeAdapter(typed)
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    return TypeAdapter(type("Strict", (typed,), {"__pydantic_config__": config}))


@cache
def _adapter() -> TypeAdapter[Any]:
    return TypeAdapter(_Strict)


def _exhaust(value: Any) -> None:
    """Look at every item: pydantic checks those of an `Iterable` only when they are
    taken.
    """
    if isinstance(value, Mapping):
        for inner in value.values():
            _exhaust(inner)
    elif not isinstance(value, str | bytes) and isinstance(value, Iterable):
        for inner in value:
            _exhaust(inner)
