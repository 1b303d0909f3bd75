"""What is known of Claude's models: facts, limits, prices, tokens."""
