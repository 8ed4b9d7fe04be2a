"""scripts/bench: measurements of the work plane, as ratios in one run."""
