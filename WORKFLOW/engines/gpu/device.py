"""Choose a GPU and bind it by its UUID; tell errors that a smaller batch avoids from errors that end its use."""

import importlib
from dataclasses import dataclass, field
from typing import Any

from config.errors import Refused
from WORKFLOW.engines.gpu.presence import GpuLost, reason_against
from WORKFLOW.engines.gpu.toolkit import SIMULATED, cuda

# Codes of the CUDA driver (cuda.h). After a code of `_LOST` the CUDA context is void: only a new process could help,
# and often it does not, either.
_OUT_OF_MEMORY = 2
_LOST = {
    4: "the driver is shutting down",
    46: "it is busy or was taken away",
    100: "it is gone",
    101: "it is gone",
    200: "its driver cannot load these kernels",
    209: "there is no code for its kind",
    214: "memory error that its ECC cannot mend",
    220: "its NVLink failed",
    222: "its driver is older than the CUDA packages here",
    226: "an error was contained on it",
    304: "the operating system failed its driver",
    700: "a kernel read beyond its memory",
    702: "a kernel ran longer than the driver allows",
    709: "its context was destroyed",
    710: "a kernel's assertion failed",
    714: "hardware stack error",
    715: "illegal instruction",
    716: "misaligned address",
    717: "invalid address space",
    718: "invalid program counter",
    719: "a kernel failed",
    802: "it is not ready",
    806: "its MPS server failed",
    807: "its MPS server is not ready",
    810: "its MPS server ended this process",
    999: "unknown error of the driver",
}
_SAFE_SHARE = 0.7  # of the free memory; the driver, fragmentation and other processes need the rest
LEAST_COMBOS = 32  # a batch that does not fit is halved down to this


@dataclass
class Device:
    """One GPU or MIG slice. `uuid` names it for good, whatever its number is today.

    `most_combos` is how many combos fit at a time, as far as is known; None before the first batch. It only shrinks.
    """

    number: int
    name: str
    uuid: str
    compute_capability: tuple[int, int]
    most_combos: int | None = field(default=None)

    def combos_at_once(self, bytes_per_combo: int) -> int:
        """Return how many combos fit into the free memory, or fewer if that number has failed before."""
        if self.most_combos is None:
            self.most_combos = max(LEAST_COMBOS, int(self.free_bytes() * _SAFE_SHARE) // bytes_per_combo)
        return self.most_combos

    def free_bytes(self) -> int:
        """Return the free memory of this device in bytes."""
        return 2**30 if SIMULATED else int(cuda.current_context().get_memory_info().free)

    def give_way(self, error: Exception, combos: int) -> None:
        """Halve the next batches after a batch of `combos` failed, if smaller batches can help.

        Raises:
            GpuLost: the device is lost, or has no room for even a small batch.
            Exception: `error` itself, if it does not come from CUDA.
        """
        code = code_of(error)
        if code == _OUT_OF_MEMORY and combos > LEAST_COMBOS:
            self.most_combos = max(LEAST_COMBOS, combos // 2)
            return
        if code == _OUT_OF_MEMORY:
            reason = f"no room for {combos} combos"
            raise GpuLost(self.said(reason), "end other users of this GPU, or use --engine native") from error
        if code in _LOST:
            way_out = "nvidia-smi shows its state; --engine native works without it"
            raise GpuLost(self.said(f"{_LOST[code]} (CUDA error {code})"), way_out) from error
        raise error

    def said(self, what: str) -> str:
        """Return a message that begins with this device's number, name and UUID."""
        return f"GPU {self.number} ({self.name}, {self.uuid}): {what}"


def code_of(error: BaseException) -> int | None:
    """Return the CUDA driver's code of an error, or None if the error does not come from CUDA.

    Errors of numba-cuda carry the code. Errors of cuda.core, through which numba-cuda loads and launches kernels, carry
    only its name.
    """
    code = getattr(error, "code", None)
    number = code if isinstance(code, int) else getattr(code, "value", None)
    return int(number) if isinstance(number, int) else _code_named_by(error)


def _code_named_by(error: BaseException) -> int | None:
    name = str(error).split(":", 1)[0]
    if not type(error).__module__.startswith("cuda.") or not name.startswith("CUDA_ERROR_"):
        return None
    codes = importlib.import_module("cuda.bindings.driver").CUresult
    return next((int(one) for one in codes if one.name == name), None)


def chosen(number: int | None = None) -> Device:
    """Return the device with that number (None: the first), with its context made in this thread.

    A worker of the swarm sees one device only, which CUDA_VISIBLE_DEVICES names by its UUID; that device is its first.

    Raises:
        Refused: there is no usable GPU, or none with that number; the message gives the reason and the way out.
    """
    if (against := reason_against()) is not None:
        raise against
    found = devices()
    asked = number or 0
    mine = next((one for one in found if one.number == asked), None)
    if mine is None:
        there = ", ".join(f"{one.number} ({one.name}, {one.uuid})" for one in found) or "none"
        raise Refused(f"there is no GPU {asked} for this process", f"there are: {there}; see CUDA_VISIBLE_DEVICES")
    try:
        cuda.select_device(mine.number)
        mine.free_bytes()
    except Exception as error:  # the driver has many kinds of errors, and each means that this GPU cannot be used
        raise Refused(
            mine.said(f"cannot be used: {error}"), "nvidia-smi shows who uses it; or --engine native"
        ) from error
    return mine


def devices() -> list[Device]:
    """Return all devices that this process may see; each MIG slice is a device of its own.

    Raises:
        Refused: the driver cannot be asked.
    """
    try:
        return [_described(number, one) for number, one in enumerate(cuda.gpus.lst)]
    except Exception as error:
        raise Refused(
            f"the CUDA driver cannot be used: {error}", "nvidia-smi, then scripts/backtest-optimize doctor"
        ) from error


def _described(number: int, one: Any) -> Device:
    if SIMULATED:
        return Device(number, "simulator", "SIMULATED", (0, 0))
    name = one.name.decode() if isinstance(one.name, bytes) else str(one.name)
    uuid = str(one.uuid)
    if " MIG " in name:  # numba-cuda writes GPU- before the UUID of a MIG slice, too
        uuid = f"MIG-{uuid.removeprefix('GPU-').removeprefix('MIG-')}"
    return Device(number, name, uuid, tuple(one.compute_capability))
