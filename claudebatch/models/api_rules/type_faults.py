"""The parameters of a request held against the SDK's types.

A checker takes a value and gives None, or the faults in it: nothing is written down
about what is right, since nearly all of a million lines are. A fault learns its path on
the way back up.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from claudebatch.core.errors import Problem
from claudebatch.core.typos import meant
from claudebatch.models.api_rules.betas import beta_fix
from claudebatch.models.api_rules.walk import AS_SENT, Names
from claudebatch.models.api_rules.wording import MAX_PROBLEMS, member, shown

Kind: TypeAlias = Any
"""A type as the data has it: a word, or a list that begins with one."""

# More names than this are a page, not a hint.
_MOST_NAMED = 8
_ITSELF = "correct it; --no-check sends it as it is"


class Fault:
    """One value that the types do not allow. Its path is put together from its end."""

    __slots__ = ("fix", "id", "path", "problem", "word")

    def __init__(self, id: str, problem: str, fix: str = _ITSELF, *, word: str = "") -> None:
        self.id = id
        self.problem = problem
        # Mutable: `_name_betas` knows a better one.
        self.fix = fix
        self.word = word
        """The member or the kind that is unknown."""
        # Mutable: each container that holds the value puts its own step before.
        self.path: list[str | int] = []

    def told(self, name: str, names: Names) -> Problem:
        """The problem, in the parameter *name*."""
        if name == "messages" and self.path:
            name = names.messages
            self.path[-1] = int(self.path[-1]) + names.first
        for step in reversed(self.path):
            name = f"{name}[{step}]" if isinstance(step, int) else member(name, step)
        return Problem(self.id, f'"{name}" {self.problem}', self.fix)


Found: TypeAlias = list[Fault] | None
Check: TypeAlias = Callable[[Any], Found]


class RequestTypes:
    """The types of the data file, made into checkers when they are first needed."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._named: Mapping[str, Any] = data["types"]
        self.betas = frozenset(data["betas"])
        # Mutable: what `check_of` has made so far.
        self._made: dict[str, Check] = {}
        self.params = {name: self.check_of(kind) for name, (kind, _) in data["params"].items()}
        self._beta_kinds: Mapping[str, Any] = data["beta_params"]
        self.only_beta = frozenset(data["beta_params"].keys() - data["params"].keys())
        """Parameters that only a request with a beta header may have."""

    def beta(self, name: str) -> Check | None:
        """The checker of a parameter in a request with a beta header."""
        kind = self._beta_kinds.get(name)
        return None if kind is None else self.check_of(kind[0])

    def knows(self, betas: Collection[str]) -> bool:
        """Whether this version can judge a request with these headers."""
        # One that it has never heard of may bring any member.
        return self.betas.issuperset(betas)

    def check_of(self, kind: Kind) -> Check:
        """The checker of *kind*."""
        if isinstance(kind, str):
            return _WORDS[kind]
        word, *rest = kind
        if word == "lit":
            return _literal(rest)
        if word == "list":
            return _list(self.check_of(rest[0]))
        if word == "map":
            return _map(self.check_of(rest[0]))
        if word == "ref":
            return self._by_name(rest[0])
        return self._union(rest)

    def _by_name(self, name: str) -> Check:
        made = self._made.get(name)
        if made is None:
            # Types may hold themselves: the inner one is looked up when it is needed.
            made_later = self._made
            self._made[name] = lambda value: made_later[name](value)  # noqa: PLW0108
            fields = self._named[name]
            made = self._made[name] = _object(
                {field: self.check_of(kind) for field, (kind, _) in fields.items()},
                frozenset(field for field, (_, required) in fields.items() if required),
            )
        return made

    def _union(self, kinds: list[Kind]) -> Check:
        """One checker for each type of JSON; objects are told apart by a member."""
        by_type: dict[type, Check] = {}
        names = [kind[1] for kind in kinds if kind[0] == "ref"]
        for kind in kinds:
            for held in _HOLDS[kind if isinstance(kind, str) else kind[0]]:
                # A plain string allows whatever the literals beside it do.
                if held not in by_type or kind == "str":
                    by_type[held] = self.check_of(kind)
        if len(names) > 1:
            by_type[dict] = self._told_apart(names)
        expected = " or ".join(dict.fromkeys(_NOUNS[held] for held in by_type))

        def check(value: Any) -> Found:
            inner = by_type.get(type(value))
            if inner is None:
                return [_other(expected, value)]
            return inner(value)

        return check

    def _told_apart(self, names: list[str]) -> Check:
        key = "type" if "type" in self._named[names[0]] else "role"
        by_word: dict[Any, Check] = {}
        for name in names:
            kind = self._named[name][key][0]
            checker = self._by_name(name)
            for one in kind[1:] if kind[0] == "union" else [kind]:
                by_word.update(dict.fromkeys([None] if one == "null" else one[1:], checker))
        words = [word for word in by_word if word is not None]

        def check(value: dict[str, Any]) -> Found:
            word = value.get(key)
            known = by_word.get(word) if isinstance(word, str | None) else None
            if known is not None:
                return known(value)
            return [_no_such(word, words, key)]

        return check


def broken_types(
    params: Mapping[str, Any],
    *,
    broken: set[str] | None = None,
    names: Names = AS_SENT,
    betas: Collection[str] = (),
) -> list[Problem]:
    """What the SDK's types do not allow in *params*, but for the parameters *broken*,
    which are reported already, and to which those found here are added. *betas* are
    the request's beta headers.
    """
    broken = set() if broken is None else broken
    types = request_types()
    if not types.knows(betas):
        return []
    problems: list[Problem] = []
    for name, value in params.items():
        check = types.beta(name) if betas else types.params.get(name)
        faults = None if check is None or name in broken else check(value)
        if faults is not None:
            broken.add(name)
            if not betas:
                _name_betas(faults, types.beta(name), value)
            problems += [fault.told(name, names) for fault in faults]
    return problems


def _name_betas(faults: list[Fault], beta: Check | None, value: Any) -> None:
    """Say of *faults* that a beta header would mend them, if one would."""
    if beta is not None and beta(value) is None:
        for fault in faults:
            fault.fix = beta_fix(fault.word)


@cache
def request_types() -> RequestTypes:
    """The types that are shipped."""
    data = Path(__file__).with_name("data").joinpath("request_types.json").read_bytes()
    return RequestTypes(msgspec.json.decode(data))


def _no_such(word: Any, words: list[str], key: str) -> Fault:
    """The fault of an object whose *key* names none of *words*."""
    if word is None:
        return Fault("E458", f'has no "{key}"', f'give it "{key}": {_some(words)}')
    near = meant(word, words) if isinstance(word, str) else None
    fault = Fault(
        "E457",
        f"must be {_some(words)}, got {shown(word)}",
        f'did you mean "{near}"?' if near else "choose one; --no-check sends it as it is",
        word=str(word),
    )
    fault.path.append(key)
    return fault


def _other(expected: str, value: Any) -> Fault:
    """The fault of a *value* that is not of the *expected* kind."""
    return Fault("E432", f"must be {expected}, got {shown(value)}")


def _some(words: Iterable[Any]) -> str:
    words = [str(word) for word in words]
    more = f", … ({len(words)} in all)" if len(words) > _MOST_NAMED else ""
    named = ", ".join(words[:_MOST_NAMED]) + more
    return named if len(words) == 1 else f"one of {named}"


def _object(fields: dict[str, Check], required: frozenset[str]) -> Check:
    known = fields.get
    others = fields.get("*")

    def check(value: Any) -> Found:
        if type(value) is not dict:
            return [_other("an object", value)]
        found: Found = None
        for name, item in value.items():
            inner = known(name) or others
            faults = [_unknown(name, fields)] if inner is None else inner(item)
            if faults is not None:
                found = _under(found, faults, name, named=inner is not None)
        if not required <= value.keys():
            missing = required - value.keys()
            faults = [Fault("E431", f'has no "{name}"', "add it") for name in missing]
            found = [*(found or ()), *faults]
        return found

    return check


def _unknown(name: str, fields: Collection[str]) -> Fault:
    near = meant(name, fields)
    return Fault(
        "E459",
        f"has the unknown member {shown(name)}",
        f'did you mean "{near}"?' if near else f"remove it; the members are: {', '.join(fields)}",
        word=name,
    )


def _under(
    found: Found, faults: list[Fault], step: str | int, *, named: bool = True
) -> list[Fault]:
    """*found* and *faults*, the latter a step further from their values."""
    if named:
        for fault in faults:
            fault.path.append(step)
    return [*(found or ()), *faults][:MAX_PROBLEMS]


def _list(inner: Check) -> Check:
    def check(value: Any) -> Found:
        if type(value) is not list:
            return [_other("a list", value)]
        found: Found = None
        for number, item in enumerate(value):
            faults = inner(item)
            if faults is not None:
                found = _under(found, faults, number)
                if len(found) >= MAX_PROBLEMS:
                    break
        return found

    return check


def _map(inner: Check) -> Check:
    def check(value: Any) -> Found:
        if type(value) is not dict:
            return [_other("an object", value)]
        found: Found = None
        for name, item in value.items():
            faults = inner(item)
            if faults is not None:
                found = _under(found, faults, name)
        return found

    return check


def _literal(words: list[Any]) -> Check:
    allowed = frozenset(words)

    def check(value: Any) -> Found:
        # `true` is an int in Python, and equal to 1.
        if isinstance(value, str | bool) and value in allowed:
            return None
        near = meant(value, [str(word) for word in words]) if isinstance(value, str) else None
        return [
            Fault(
                "E457",
                f"must be {_some(words)}, got {shown(value)}",
                f'did you mean "{near}"?' if near else "choose one, or leave it out",
            )
        ]

    return check


def _word(types: tuple[type, ...], noun: str) -> Check:
    def check(value: Any) -> Found:
        if type(value) in types:
            return None
        return [_other(noun, value)]

    return check


def _whole(value: Any) -> Found:
    # Some exporters write every number with a point, and the API reads it.
    if type(value) is int or (type(value) is float and value.is_integer()):
        return None
    return [_other("a whole number", value)]


def _anything(value: Any) -> Found:
    return None


_WORDS: dict[str, Check] = {
    "str": _word((str,), "a string"),
    "int": _whole,
    "float": _word((int, float), "a number"),
    "bool": _word((bool,), "true or false"),
    "null": _word((type(None),), "null"),
    "object": _word((dict,), "an object"),
    "any": _anything,
}
_HOLDS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int, float),
    "float": (int, float),
    "bool": (bool,),
    "null": (type(None),),
    "object": (dict,),
    "any": (str, int, float, bool, type(None), dict, list),
    "lit": (str,),
    "list": (list,),
    "map": (dict,),
    "ref": (dict,),
}
_NOUNS: dict[type, str] = {
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
    dict: "an object",
    list: "a list",
}
