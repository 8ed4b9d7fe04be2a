"""Load Numba's CUDA as the package numba-cuda, and recognise its simulator.

Importing this module loads libraries for a second and opens no device. `import numba.cuda` finds numba-cuda through a
startup hook of that package. Where this hook is switched off, because it delays every start of Python by 30 ms, this
module calls the hook.
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
_WARPS_PER_BLOCK = 1 if SIMULATED else 4  # the simulator runs one warp as a whole block
BLOCK = WARP * _WARPS_PER_BLOCK
# By default, Numba optimizes again while it links, with the linker's own compiler. That compiler has another version
# than the one whose code `scripts/lab/gpu_compiled.py` checks, so this option is off. The form `cuda.jit(…)(function)`
# would drop the option.
_AS_LOOKED_AT = {"lto": False}
INSTALL = "pip install --require-hashes -r config/locks/cuda.txt"


def _numba_cuda() -> Any:
    os.environ.setdefault("NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS", "0")  # small batches are normal here
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # the numbers of nvidia-smi; by default the fastest is 0
    if "numba" in sys.modules:  # Numba read its variables when the CPU engine was loaded
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
    """Make a kernel that is compiled at its first launch and cached on disk; fast-math is never used."""
    return cuda.jit(function) if SIMULATED else cuda.jit(function, cache=True, **_AS_LOOKED_AT)


def device(function: F) -> F:
    """Make a function that kernels can call; in the simulator it stays plain Python."""
    return function if SIMULATED else cast(F, cuda.jit(function, device=True, forceinline=True, **_AS_LOOKED_AT))


def warps(count: int) -> tuple[int, int]:
    """Return the grid and the block that give each of `count` items a warp."""
    return max(1, -(-count // _WARPS_PER_BLOCK)), BLOCK


def threads(count: int) -> tuple[int, int]:
    """Return the grid and the block that give each of `count` items a thread."""
    return max(1, -(-count // BLOCK)), BLOCK
