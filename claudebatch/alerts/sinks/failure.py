"""Why something could not be delivered."""

from __future__ import annotations


class DeliveryFailed(Exception):
    """The other side did not take it; the message says why and holds no address, which
    may be a secret.
    """
