"""Metric sets for tests that care for a few metrics only."""

from typing import Any

from state.records.metrics import NAMES, Metrics


def metric_set(**given: Any) -> Metrics:
    """Those that are given; of all others nothing is known, and nothing was counted."""
    counted = {"total_trades": 0, "filled_bar_fills": 0, "ruined": False, "days": 0}
    return Metrics.of_json(dict.fromkeys(NAMES) | counted | given)
