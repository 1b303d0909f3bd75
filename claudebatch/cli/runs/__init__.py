"""The `runs` commands."""
