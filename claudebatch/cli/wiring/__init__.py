"""What the commands share: putting a run together from flags, files and the
environment.
"""
