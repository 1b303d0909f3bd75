"""A beginning that rows share is written to the prompt cache once, and then read."""
