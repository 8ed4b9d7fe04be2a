"""`export`: write a finalist as a file that a live trading tool runs."""
