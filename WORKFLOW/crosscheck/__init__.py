"""Engines nobody here wrote, asked for the same trades: each in a process of its own, compared trade by trade."""
