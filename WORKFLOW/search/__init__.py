"""From a parameter space to candidates: prescreen, then Bayesian search."""
