"""What holds for all tests."""

from hypothesis import settings

# How long an example takes says something about the machine, not about us.
settings.register_profile("claudebatch", deadline=None)
settings.load_profile("claudebatch")
