"""What fails for the moment is tried again."""
