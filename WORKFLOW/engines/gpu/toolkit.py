"""Numba's CUDA, loaded the one way that works: as numba-cuda, and recognised when it is only the simulator.

Importing this loads a second of libraries and opens no device. `import numba.cuda` finds numba-cuda through a startup
hook of that package; where the hook is switched off, because it delays every Python by 30 ms, it is called here.
"""

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar, cast

from config.errors import Refused

F = TypeVar("F", bound=Callable[..., Any])

SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"
WARP = 32
_WARPS_PER_BLOCK = 1 if SIMULATED else 4  # the twin of a warp is a whole block there
BLOCK = WARP * _WARPS_PER_BLOCK
# Not optimised anew while linking, Numba's default: that would be by the linker's own compiler, of another version than
# the one whose code `scripts/lab/gpu_compiled.py` looks at. (`cuda.jit(…)(function)` would drop the option.)
_AS_LOOKED_AT = {"lto": False}
INSTALL = "pip install --require-hashes -r config/locks/cuda.txt"


def _numba_cuda() -> Any:
    os.environ.setdefault("NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS", "0")  # few combos are few: that is no news
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # nvidia-smi's numbers; else the fastest would be 0
    if "numba" in sys.modules:  # it read its variables when the CPU engine was loaded
        importlib.import_module("numba.core.config").reload_config()
    try:
        importlib.import_module("_numba_cuda_redirector")
        found = importlib.import_module("numba.cuda")
    except ImportError as error:
        raise Refused(f"numba-cuda is not installed: {error}", INSTALL) from error
    if not SIMULATED and getattr(found, "implementation", "") != "NVIDIA":
        raise Refused("numba.cuda is the deprecated one inside numba, not numba-cuda", INSTALL)
    return found


cuda = _numba_cuda()


def kernel(function: F) -> Any:
    """A kernel, compiled on first launch and kept on disk; never fast-math."""
    return cuda.jit(function) if SIMULATED else cuda.jit(function, cache=True, **_AS_LOOKED_AT)


def device(function: F) -> F:
    """A function that kernels call; plain Python in the simulator."""
    return function if SIMULATED else cast(F, cuda.jit(function, device=True, forceinline=True, **_AS_LOOKED_AT))


def warps(count: int) -> tuple[int, int]:
    """Grid and block that give each of `count` items a warp."""
    return max(1, -(-count // _WARPS_PER_BLOCK)), BLOCK


def threads(count: int) -> tuple[int, int]:
    """Grid and block that give each of `count` items a thread."""
    return max(1, -(-count // BLOCK)), BLOCK
