"""The operator's settings: every value that a user may have an opinion on.

All other numbers are constants in the code.
"""
