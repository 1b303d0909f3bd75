"""Output for programs: the `--json` events and the log file."""
