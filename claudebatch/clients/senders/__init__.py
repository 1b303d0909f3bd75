"""Senders: other processes that send the requests of one run, while its driver
decides.
"""
