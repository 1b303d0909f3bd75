"""Files on disk: journal, spend ledger, results file, run folder."""
