"""One run on small generated bars, undisturbed and started by path, for all tests of whole runs."""

from pathlib import Path

import pytest

from tests.once import once
from tests.WORKFLOW.pipeline import SMALL, run_by_path
from WORKFLOW.data.generate import write_demo

DAYS = 120


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bars, in one file."""
    folder = once(tmp_path_factory, "bars", lambda folder: write_demo(folder, days=DAYS, seed=11))
    [path] = folder.iterdir()
    return path


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """Its RESULTS_ROOT. Nobody may change it: who wants to, copies it."""

    def make(results: Path) -> None:
        done = run_by_path(results, *SMALL, "--data-path", str(data))
        assert done.returncode == 0, done.stderr

    return once(tmp_path_factory, "undisturbed", make)
