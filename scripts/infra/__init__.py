"""The virtual environment, its locks, the checks, and commands that answer with the standard library alone."""
