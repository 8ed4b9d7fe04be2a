"""A missing tool fails where continuous integration runs, and is a skip with its reason elsewhere."""

import os
from pathlib import Path

import pytest

from config.errors import Refused
from scripts.infra import environment
from state.files.layout import CHECKOUT


@pytest.fixture(scope="session")
def backtesting_python() -> Path:
    """The interpreter of backtesting.py's own environment, which the first test that needs it makes."""
    try:
        return environment.beside(CHECKOUT, "crosscheck")
    except Refused as refused:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"the environment for backtesting.py cannot be made here: {refused.reason}")
