"""The search: from a parameter space to candidates, by a prescreen and a Bayesian search."""
