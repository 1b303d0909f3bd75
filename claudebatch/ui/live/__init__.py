"""The progress display while a run goes on, and its parts."""
