"""Facts about Claude's models, their limits, prices and tokens."""
