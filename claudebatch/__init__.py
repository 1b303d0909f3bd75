"""claudebatch: a file of prompts in, a file of answers out, at the pace and price the
account allows.
"""

__version__ = "0.1.0"
