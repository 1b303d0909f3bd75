"""The numbers that steer the limiter, one module per part; each stands above the
failure that it prevents.

`docs/rate-limits.md` has all of them in one table, with the test that fails when the
number is wrong; `python -m tests.mutants rate_limit` proves that it does. A number that
can be reckoned from another one is reckoned here and stands in no table.
"""
