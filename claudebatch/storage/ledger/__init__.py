"""The machine-wide spend ledger: what every run has spent, attempt by attempt and in
sums.

A second file beside the journals. All of a run in it can be rebuilt from the run's
journal, and is whenever that run is opened again or settled; until then it may count
too much, never too little: holds come first, settlements last.
"""

from claudebatch.storage.ledger.run_entry import Dearest, RunEntry, note_end
from claudebatch.storage.ledger.schema import open_ledger, read_ledger
from claudebatch.storage.ledger.settle import SettleVerdict, settle_dead
from claudebatch.storage.ledger.spend_report import SpendReader
from claudebatch.storage.ledger.writer import LedgerWriter

__all__ = [
    "Dearest",
    "LedgerWriter",
    "RunEntry",
    "SettleVerdict",
    "SpendReader",
    "note_end",
    "open_ledger",
    "read_ledger",
    "settle_dead",
]
