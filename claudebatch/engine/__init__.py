"""The engine: rows into lanes, lanes into the stack, outcomes into the journal; drain
and resume.
"""
