"""The words that every room shares, and the few tools without a room of their own."""
