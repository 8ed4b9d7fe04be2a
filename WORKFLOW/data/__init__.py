"""Bars in: load, check, repair, generate."""
