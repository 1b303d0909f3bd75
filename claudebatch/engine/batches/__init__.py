"""Message batches: rows that can wait go out together, at half the price.

Beside the layers, not below them: a hundred thousand rows wait for hours, so they are
rows on disk and not tasks in memory. Prices, caps, journal, cache and results are the
same as those of rows that are sent at once.
"""
