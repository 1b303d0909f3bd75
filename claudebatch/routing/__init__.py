"""The choice of a model for each prompt, and the request to that model."""
