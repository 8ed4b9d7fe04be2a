"""Tests of the whole search: what luck alone would have shown, from the daily returns of all combos tried."""
