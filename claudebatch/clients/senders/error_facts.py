"""Errors of a sender, made again in the driver with every fact that is decided by."""

from __future__ import annotations

from claudebatch.clients.senders.frames import Errored
from claudebatch.core.errors import (
    AccountRefused,
    ApiUnavailable,
    AttemptError,
    Blocked,
    ClaudebatchError,
    CommandRefused,
    ConfigError,
    CredentialError,
    NotServed,
    PathFault,
    RateLimited,
    StopRun,
    Unreachable,
)

# By name, and no others: a frame must not choose a class of its own.
_KNOWN: dict[str, type[AttemptError | StopRun | ClaudebatchError]] = {
    one.__name__: one
    for one in (
        AccountRefused,
        ApiUnavailable,
        AttemptError,
        Blocked,
        ClaudebatchError,
        CommandRefused,
        ConfigError,
        CredentialError,
        NotServed,
        PathFault,
        RateLimited,
        Unreachable,
    )
}


class SenderCrashed(Exception):
    """A bug in a sender: it is told as one of the driver's own would be."""


def refused(number: int, error: Exception) -> Errored:
    """*error* as a frame."""
    name = type(error).__name__
    if name not in _KNOWN:
        return Errored(number, "SenderCrashed", {"message": f"{name}: {error}"})
    facts = dict(vars(error))
    limits = facts.pop("limits", None)
    return Errored(number, name, facts, limits)


def error_of(refusal: Errored) -> Exception:
    """The error that a sender met."""
    message = str(refusal.facts.get("message", ""))
    known = _KNOWN.get(refusal.kind)
    if known is None:
        return SenderCrashed(message)
    # Their constructors take what these facts were made of, each in its own way.
    error = known.__new__(known, message)
    vars(error).update(refusal.facts)
    if isinstance(error, AttemptError):
        error.limits = refusal.limits
    return error
