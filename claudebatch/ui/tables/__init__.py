"""Summaries, reports and tables at the end of a command, as text and as data."""
