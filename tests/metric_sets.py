"""Metric sets for tests that need only a few metrics."""

from typing import Any

from state.records.metrics import NAMES, Metrics


def metric_set(**given: Any) -> Metrics:
    """Return a set with the given metrics; all others are unknown, and all counts are 0."""
    counted = {"total_trades": 0, "filled_bar_fills": 0, "ruined": False, "days": 0}
    return Metrics.of_json(dict.fromkeys(NAMES) | counted | given)
