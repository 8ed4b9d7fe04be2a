"""Files to read, and the real market data where a machine has it."""

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from state.files.layout import CHECKOUT
from WORKFLOW.data.bars import BAR_MS, BARS_PER_DAY, ROW

START_MS = 1_672_531_200_000  # 2023-01-01 00:00 UTC


@pytest.fixture(scope="session")
def real_data() -> Path:
    folder = Path(os.environ.get("BACKTEST_OPTIMIZE_DATA") or CHECKOUT.parent / "shared" / "data")
    if not (folder / "SOLUSDT_5m.csv.gz").is_file():
        pytest.skip(f"no real market data in {folder}; BACKTEST_OPTIMIZE_DATA names the folder")
    return folder


@pytest.fixture
def rows() -> NDArray[np.void]:
    """100 clean days without ties: close walks up and down by cents, each open repeats the last close."""
    bars = 100 * BARS_PER_DAY
    cents = 10_000 + np.cumsum(np.random.default_rng(3).integers(-3, 4, bars))
    made = np.zeros(bars, dtype=ROW)
    made["time_ms"] = START_MS + np.arange(bars) * BAR_MS
    made["close"] = cents / 100
    made["open"] = np.concatenate([[100.0], made["close"][:-1]])
    made["high"] = (np.maximum(made["open"], made["close"]) * 100 + 1).round() / 100
    made["low"] = (np.minimum(made["open"], made["close"]) * 100 - 1).round() / 100
    made["volume"] = 10.5
    return made
