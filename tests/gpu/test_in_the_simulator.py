"""The GPU engine in Numba's CUDA simulator, in processes of their own: it is switched on before numba is imported."""

import os
import subprocess
import sys

import pytest

from state.files.layout import CHECKOUT
from WORKFLOW.engines.gpu.presence import SIMULATOR_WANTED

PARITY = "tests/gpu/parity"


def run(*files: str, environment: dict[str, str]) -> str:
    command = [sys.executable, "-m", "pytest", "-q", *(f"{PARITY}/{name}" for name in files)]
    done = subprocess.run(
        command,
        cwd=CHECKOUT,
        env={**os.environ, **environment, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
    return done.stdout


@pytest.mark.parametrize("files", [("test_screen.py",), ("test_best.py", "test_warp.py")])
def test_in_the_simulator(files: tuple[str, ...]) -> None:
    said = run(*files, environment={"NUMBA_ENABLE_CUDASIM": "1", SIMULATOR_WANTED: "1"})
    assert " passed" in said


def test_on_a_device() -> None:
    """The very same tests on hardware."""
    from WORKFLOW.engines.gpu.presence import reason_against

    if (against := reason_against()) is not None:
        pytest.skip(f"no GPU: {against.reason}")
    assert " passed" in run(
        "test_screen.py", "test_best.py", "test_warp.py", environment={"BACKTEST_OPTIMIZE_GPU_TESTS": "1"}
    )
