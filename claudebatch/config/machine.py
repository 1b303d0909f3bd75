"""What this machine lets a process have."""

from __future__ import annotations

from contextlib import suppress

# Journal, output, cache, ledger, log, inputs, and what Python and SQLite open for a
# moment.
_OWN_FILES = 48


def no_core_dumps() -> None:
    """Keep the memory of this process, which holds the key, out of files if it dies of
    a signal.
    """
    try:
        # Not every platform has it.
        import resource  # noqa: PLC0415
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def connections(wanted: int) -> int:
    """How many of *wanted* connections the limit on open files leaves room for; at
    least 1.

    The soft limit is raised as far as is needed and allowed: it is often 256 or 1,024,
    and the hard one far above.
    """
    try:
        # As above.
        import resource  # noqa: PLC0415
    except ImportError:
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _OWN_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
        except (OSError, ValueError):
            # Then with the connections that there are.
            pass
        return max(1, min(wanted, soft - _OWN_FILES))
    return wanted
