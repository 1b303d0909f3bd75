"""Latencies of simulated answers, drawn from a distribution in a short notation."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Literal, TypeAlias

from claudebatch.core.errors import ConfigError

Shape: TypeAlias = Literal["fixed", "uniform", "lognormal"]

_FIX = (
    "write fixed:SECONDS, uniform:LOW,HIGH or lognormal:MEDIAN,SIGMA, "
    "for example lognormal:0.25,0.4"
)
_ARITY: dict[Shape, int] = {"fixed": 1, "uniform": 2, "lognormal": 2}


@dataclass(frozen=True, slots=True)
class Latency:
    """A distribution of seconds."""

    shape: Shape
    first: float
    second: float = 0.0

    @property
    def mean(self) -> float:
        """Mean seconds, from which an estimate computes a rehearsal's duration."""
        match self.shape:
            case "fixed":
                return self.first
            case "uniform":
                return (self.first + self.second) / 2
            case "lognormal":
                # The mean of a lognormal lies above its median: with the median an
                # estimate of a rehearsal would be too short.
                return self.first * math.exp(self.second**2 / 2)

    def draw(self, rng: random.Random) -> float:
        """Seconds for one answer."""
        match self.shape:
            case "fixed":
                return self.first
            case "uniform":
                return rng.uniform(self.first, self.second)
            case "lognormal":
                return rng.lognormvariate(math.log(self.first), self.second)


def parse_latency(text: str) -> Latency:
    """Read `fixed:0.1`, `uniform:0.1,0.5` or `lognormal:0.25,0.4`; raises
    `ConfigError`.
    """
    name, _, rest = text.strip().partition(":")
    shape = next((known for known in _ARITY if known == name), None)
    if shape is None:
        raise ConfigError("E904", f'latency "{text}": unknown distribution "{name}"', fix=_FIX)
    numbers = [_seconds(text, part) for part in rest.split(",")]
    if len(numbers) != _ARITY[shape]:
        raise ConfigError(
            "E905",
            f'latency "{text}": numbers needed for {shape}: {_ARITY[shape]}, got {len(numbers)}',
            fix=_FIX,
        )
    latency = Latency(shape, *numbers)
    _check(text, latency)
    return latency


def _seconds(text: str, part: str) -> float:
    try:
        value = float(part)
    except ValueError:
        raise ConfigError("E906", f'latency "{text}": "{part}" is not a number', fix=_FIX) from None
    # `float` also reads "nan" and "inf": the sleep would never end.
    if not math.isfinite(value) or value < 0:
        raise ConfigError("E907", f'latency "{text}": "{part}" must be 0 or more', fix=_FIX)
    return value


def _check(text: str, latency: Latency) -> None:
    if latency.shape == "uniform" and latency.first > latency.second:
        raise ConfigError("E908", f'latency "{text}": the low end is above the high end', fix=_FIX)
    if latency.shape == "lognormal" and latency.first == 0:
        raise ConfigError(
            "E909", f'latency "{text}": the median of a lognormal must be above 0', fix=_FIX
        )
