"""Engines that turn bars, a signal and rules into trades and metrics: the reference, and fast engines that equal it."""
