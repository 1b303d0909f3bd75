"""A model that cannot serve is replaced by the next of its chain."""
