"""What leaves the program besides requests: alerts, to a webhook and to a command, if
the user has named them.
"""
