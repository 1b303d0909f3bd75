"""The limit of output tokens, which count while an answer is produced."""
