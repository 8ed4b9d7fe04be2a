"""Trades and metrics from bars, a signal and rules: the reference, and the engines that equal it."""
