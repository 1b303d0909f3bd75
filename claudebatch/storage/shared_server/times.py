"""Times that all stores at the shared server have in common, in seconds."""

from __future__ import annotations

# A process that dies leaves what it has taken. Longer than an attempt may take by
# default; shorter, and a slow answer's place is given to another one.
LEASE_S = 900

# Another process's end wakes nobody here, nor does a server that is back: somebody must
# look.
AGAIN_S = 1.0

# Silent for so long, a process counts as dead. Sooner, a busy machine's attempts would
# be taken for lost.
SILENT_S = 60
