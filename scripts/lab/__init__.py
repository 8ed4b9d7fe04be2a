"""scripts/bench: measurements of this machine and of both planes, and campaigns of faults."""
