"""Reads the request types of the installed SDK into data that needs no SDK.

`python -m tests.models.api_rules.read_sdk` writes the file that is shipped;
`test_request_types.py` fails while the two differ.

A type is a word (`str`, `int`, `float`, `bool`, `null`, `any`, `object`) or a list:
`["lit", …]`, `["list", item]`, `["map", value]`, `["ref", name]`, `["union", …]`. A
named type maps each member to `[its type, whether it is required]`; `*` stands for all
members that have no name.
"""

from __future__ import annotations

import collections.abc
import types
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin

import anthropic
import msgspec
import typing_extensions
from anthropic.types.beta.message_create_params import (
    MessageCreateParamsNonStreaming as BetaParams,
)
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming as Params
from pydantic import BaseModel

import claudebatch.models.api_rules as room

PATH = Path(room.__file__).with_name("data") / "request_types.json"
# Headers of the SDK's call, or what the client decides itself.
NOT_IN_THE_BODY = ("betas", "stream", "user_profile_id", "workspace_id")

_WORDS: dict[Any, Any] = {
    str: "str",
    int: "int",
    float: "float",
    bool: "bool",
    type(None): "null",
    object: "any",
    Any: "any",
}


class _Reader:
    """Names each TypedDict once."""

    def __init__(self) -> None:
        self.types: dict[str, Any] = {}
        self.read: dict[str, Any] = {}

    def fields(self, typed: Any, without: tuple[str, ...] = ()) -> dict[str, Any]:
        hints = typing_extensions.get_type_hints(typed, include_extras=True)
        return {
            # The keys alone do not know a `Required` in an annotation that is a string.
            name: [
                self.kind(hint),
                get_origin(hint) is Required or name in typed.__required_keys__,
            ]
            for name, hint in hints.items()
            if name not in without
        }

    def kind(self, hint: Any) -> Any:
        origin, args = get_origin(hint), get_args(hint)
        if hint in _WORDS:
            return _WORDS[hint]
        if typing_extensions.is_typeddict(hint):
            return self._ref(hint)
        if origin in (Required, NotRequired, Annotated):
            return self.kind(args[0])
        if origin is Literal:
            # `typing` keeps whichever spelling of a set it met first.
            return ["lit", *sorted(args)]
        if origin in (Union, types.UnionType):
            return self._union(args)
        if origin is dict:
            return "object" if self.kind(args[1]) == "any" else ["map", self.kind(args[1])]
        if origin in (list, collections.abc.Iterable, collections.abc.Sequence):
            return ["list", self.kind(args[0])]
        if getattr(origin, "__name__", "") == "SequenceNotStr":
            return ["list", self.kind(args[0])]
        raise TypeError(f"no JSON for {hint!r}")

    def _ref(self, typed: Any) -> Any:
        if getattr(typed, "__pydantic_config__", {}).get("extra") == "allow":
            return "object"
        name = typed.__name__
        if self.read.setdefault(name, typed) is not typed:
            raise TypeError(f"two types are called {name}")
        if name not in self.types:
            self.types[name] = {}
            self.types[name] = self.fields(typed)
            if getattr(typed, "__extra_items__", None) is object:
                self.types[name]["*"] = ["any", False]
        return ["ref", name]

    def _union(self, args: tuple[Any, ...]) -> Any:
        kinds: list[Any] = []
        answers = [arg for arg in args if _is_model(arg)]
        for arg in args:
            # Files and paths are no JSON; answers are handed back by their members.
            if _is_model(arg) or _is_file(arg):
                continue
            kind = self.kind(arg)
            kinds += kind[1:] if kind[:1] == ["union"] else [kind]
        kinds = [kind for n, kind in enumerate(kinds) if kind not in kinds[:n]]
        if "object" in kinds:
            kinds = [kind for kind in kinds if kind[0] != "ref"]
        for answer in answers:
            self._may_be_null(answer, [kind[1] for kind in kinds if kind[0] == "ref"])
        return kinds[0] if len(kinds) == 1 else ["union", *kinds]

    def _may_be_null(self, answer: type[BaseModel], names: list[str]) -> None:
        """An answer's block is sent back as it came: with null for what it has not."""
        lit = self.kind(answer.model_fields["type"].annotation)
        for name in names:
            if self.types[name]["type"][0] != lit:
                continue
            for field, (kind, required) in self.types[name].items():
                info = answer.model_fields.get(field)
                if info is not None and type(None) in get_args(info.annotation):
                    self.types[name][field] = [_with_null(kind), required]


def _with_null(kind: Any) -> Any:
    if kind[0] != "union":
        return ["union", kind, "null"]
    return kind if "null" in kind else [*kind, "null"]


def _is_model(arg: Any) -> bool:
    return isinstance(arg, type) and issubclass(arg, BaseModel)


def _is_file(arg: Any) -> bool:
    return getattr(get_origin(arg) or arg, "__name__", "") in ("IO", "PathLike")


def typed_dicts() -> dict[str, Any]:
    """The SDK's TypedDicts by their names in the data."""
    reader = _Reader()
    reader.fields(Params, NOT_IN_THE_BODY)
    reader.fields(BetaParams, NOT_IN_THE_BODY)
    return reader.read


def read_sdk() -> bytes:
    """The data file, a line for each type."""
    reader = _Reader()
    ga = reader.fields(Params, NOT_IN_THE_BODY)
    beta = reader.fields(BetaParams, NOT_IN_THE_BODY)
    betas = reader.kind(typing_extensions.get_type_hints(BetaParams, include_extras=True)["betas"])
    lines = {
        "sdk": anthropic.__version__,
        "params": ga,
        "beta_params": beta,
        "betas": sorted(betas[1][2][1:]),
        "types": None,
    }
    encode = msgspec.json.encode
    rows = [encode(name) + b": " + encode(value) for name, value in lines.items() if value]
    named = b",\n".join(
        b"  " + encode(name) + b": " + encode(fields)
        for name, fields in sorted(reader.types.items())
    )
    return b"{\n" + b",\n".join([*rows, b'"types": {\n' + named + b"\n}"]) + b"\n}\n"


if __name__ == "__main__":
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_bytes(read_sdk())
