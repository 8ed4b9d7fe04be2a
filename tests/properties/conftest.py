"""The real market data where a machine has it."""

import os
from pathlib import Path

import pytest

from state.layout import CHECKOUT


@pytest.fixture(scope="session")
def real_data() -> Path:
    folder = Path(os.environ.get("BACKTEST_OPTIMIZE_DATA") or CHECKOUT.parent / "shared" / "data")
    if not (folder / "SOLUSDT_5m.csv.gz").is_file():
        pytest.skip(f"no real market data in {folder}; BACKTEST_OPTIMIZE_DATA names the folder")
    return folder
