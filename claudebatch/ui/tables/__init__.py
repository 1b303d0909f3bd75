"""What is shown at the end: summaries, reports and tables, as text and as data."""
