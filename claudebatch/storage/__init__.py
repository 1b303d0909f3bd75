"""What is kept on disk: journal, spend ledger, results file, run folder."""
