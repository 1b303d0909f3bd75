"""A model that keeps failing is left alone."""
