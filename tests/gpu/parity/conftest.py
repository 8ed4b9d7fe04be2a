"""Tests on a device: the simulator, in children of `test_in_the_simulator.py`, or a real one where it is at hand.

The simulator has to be switched on before numba is imported, so a process has either.
"""

import os

import pytest

SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"
collect_ignore_glob = [] if SIMULATED or os.environ.get("BACKTEST_OPTIMIZE_GPU_TESTS") == "1" else ["test_*.py"]


def _without_polling() -> None:
    """Numba's simulator polls the threads of a block, and each poll takes the interpreter from one that works.

    These kernels' lanes meet by themselves (`warp.py`): starting and joining them is enough, and six times as fast. So
    is one core, on which a thread that wakes another goes to sleep at once.
    """
    import numpy as np
    from numba.cuda.simulator import kernel

    def run(self: kernel.BlockManager, grid_point: tuple[int, ...], *arguments: object) -> None:
        lanes = [
            kernel.BlockThread(lambda: self._f(*arguments), self, grid_point, point, self._debug)
            for point in np.ndindex(*self._block_dim)
        ]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()
        errors = [lane.exception for lane in lanes if lane.exception]
        for error, traceback in sorted(errors, key=lambda one: "diverged" in str(one[0])):
            raise error.with_traceback(traceback)

    kernel.BlockManager.run = run
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


if SIMULATED:
    _without_polling()


@pytest.fixture(scope="session")
def device() -> object:
    """The device under test."""
    from WORKFLOW.engines.gpu.device import chosen

    return chosen()
