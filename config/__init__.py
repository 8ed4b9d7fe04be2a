"""Operator values: what one may have an opinion on, and nothing else."""
