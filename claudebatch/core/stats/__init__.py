"""The counts of a run, made of its events; display, `--json` and summary read them."""
