"""The innermost handler: one HTTP attempt at the Messages API. The only room that knows
the `anthropic` SDK.
"""
