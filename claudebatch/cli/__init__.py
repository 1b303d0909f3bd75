"""The commands, one per file and thin: parse, freeze the options, make one library
call, return an exit code.
"""
