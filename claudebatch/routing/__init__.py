"""Which model a prompt goes to, and what the request to that model is."""
