"""What a run and an estimate both need: options, settings, checked input, the stack of
layers.
"""
