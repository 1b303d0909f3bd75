"""The layers around the client, one failure mode each, one folder each. No layer knows
another.
"""
