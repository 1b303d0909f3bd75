"""What programs read: the `--json` events and the log file."""
