"""Answers of a wanted form: what they hold, and how an unfit one is asked again."""
