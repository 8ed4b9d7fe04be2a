"""The checks that a candidate must pass before its result can be believed."""
