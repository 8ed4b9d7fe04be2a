"""What every test has: a place for Hypothesis outside the top level, no deadlines on a busy machine, real bars."""

import os
from pathlib import Path

os.environ.setdefault(
    "HYPOTHESIS_STORAGE_DIRECTORY", str(Path(__file__).resolve().parent.parent / "state" / ".cache" / "hypothesis")
)

import pytest
from hypothesis import settings

from config.errors import Refused
from scripts.infra import environment
from state.files.layout import CHECKOUT

# The tables' own assertions explain themselves, as those of a test do; said here, before anybody imports them.
pytest.register_assert_rewrite("tests.engines.builders")

# The first example may compile a kernel; a test's time limit is the whole run's.
settings.register_profile("checkout", deadline=None, print_blob=True)
settings.load_profile("checkout")


@pytest.fixture(scope="session")
def real_data() -> Path:
    folder = Path(os.environ.get("BACKTEST_OPTIMIZE_DATA") or CHECKOUT.parent / "shared" / "data")
    if not (folder / "SOLUSDT_5m.csv.gz").is_file():
        pytest.skip(f"no real market data in {folder}; BACKTEST_OPTIMIZE_DATA names the folder")
    return folder


@pytest.fixture(scope="session")
def ccxt_python() -> Path:
    """The interpreter of ccxt's own environment, which the first test that needs it makes."""
    try:
        return environment.beside(CHECKOUT, "fetch")
    except Refused as refused:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"the environment for ccxt cannot be made here: {refused.reason}")
