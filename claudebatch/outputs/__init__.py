"""Results as files that people open: tables, databases, plain text and the result lines
of batch APIs, each derived from a run's journal.

A writer turns result lines into bytes and knows nothing of journals; `run_table.py` and
`export_run.py` know where the lines come from and where the bytes go.
"""
