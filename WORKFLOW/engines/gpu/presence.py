"""Find out whether this process could use a GPU, without opening it or loading a library."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

from config.errors import Refused
from config.pip import install_line

_DRIVER = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/usr/lib/wsl/lib/libcuda.so.1")
_HIDDEN = ("", "-1")
_NATIVE = "or use --engine native"
# Only tests set this variable; without it, Numba's simulator is never taken for a GPU.
SIMULATOR_WANTED = "BACKTEST_OPTIMIZE_SIMULATED_GPU"


class GpuLost(Refused):
    """The device was lost or has no room.

    This process cannot use it again; the swarm closes its lane and keeps the job.
    """


def reason_against() -> Refused | None:
    """Return why no GPU can be used, and the way out; None if nothing but its driver could still speak against it."""
    if os.environ.get("NUMBA_ENABLE_CUDASIM") == "1":
        if os.environ.get(SIMULATOR_WANTED) == "1":
            return None
        return Refused("NUMBA_ENABLE_CUDASIM is set: that is Numba's simulator, not a GPU", f"unset it, {_NATIVE}")
    if sys.platform != "linux":
        return Refused(f"GPUs are used on Linux, and this is {sys.platform}", "use --engine native")
    if os.environ.get("CUDA_VISIBLE_DEVICES") in _HIDDEN:
        hidden = os.environ["CUDA_VISIBLE_DEVICES"]
        return Refused(f"CUDA_VISIBLE_DEVICES is {hidden!r}: all GPUs are hidden", f"unset it, {_NATIVE}")
    if not any(Path(path).exists() for path in _DRIVER):
        return Refused("there is no NVIDIA driver on this machine", f"install it (nvidia-smi shows it), {_NATIVE}")
    if find_spec("numba_cuda") is None:
        install = install_line("cuda")
        return Refused("numba-cuda is not installed", f"{install}; {_NATIVE}")
    return None
