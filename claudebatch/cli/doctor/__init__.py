"""Is everything a run needs in order? Looked at before a run, and nothing changed or
paid for.
"""
