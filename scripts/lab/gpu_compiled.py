"""Compile the kernels on a machine without a GPU: PTX, and ptxas's machine code for a compute capability.

A process compiles for one compute capability only, because device functions are compiled once in each process.
"""

import importlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from config.errors import Refused
from config.pip import install_line
from WORKFLOW.engines.gpu import events, execute, measure
from WORKFLOW.engines.gpu.toolkit import SIMULATED, cuda
from WORKFLOW.signals import mtf_ema_gpu as ema

_SASS_BYTES = 16  # bytes of one instruction, from compute capability 7.0 on


@dataclass(frozen=True)
class Compiled:
    """One kernel for one compute capability. `instructions` counts its machine code once, not as often as it runs."""

    name: str
    ptx: str
    registers: int
    stack_bytes: int
    spill_bytes: int
    instructions: int

    @property
    def fused(self) -> int:
        """Fused multiply-adds of floats, and products that ptxas may fuse with a following sum.

        Each of them would round once where the reference rounds twice.
        """
        products = set(re.findall(r"\bmul\.f64\s+(%\w+)", self.ptx))  # `mul.rn.f64` is never fused
        sums = re.findall(r"\b(?:add|sub)\.f64\s+%\w+, (%?[\w.]+), (%?[\w.]+);", self.ptx)
        return len(re.findall(r"\bfma\.rn", self.ptx)) + sum(bool(products & set(terms)) for terms in sums)


def signatures() -> Iterator[tuple[str, Any, tuple[Any, ...]]]:
    """Return every kernel with the types it is launched with; prices as ticks (int32) and as float64."""
    from numba import types

    i4, i8, u4, f8, flag = types.int32, types.int64, types.uint32, types.float64, types.boolean
    i4s, i8s, f8s = i4[::1], i8[::1], f8[::1]
    i4t, i8t, u4t, f8t = i4[:, ::1], i8[:, ::1], u4[:, ::1], f8[:, ::1]
    trades = (i4s, i8s, i4s, f8t, i8s, i4s, f8s)
    for name, price in (("ticks", i4[::1]), ("prices", f8s)):
        prices, blocks = (price,) * 3, (price, price, f8s, f8s)
        yield f"search ({name})", execute.search, (*prices, *blocks, flag, f8, *trades)
        money = (f8s, flag, f8, i8, i8, i8, f8, f8, f8, flag)
        yield f"settle ({name})", execute.settle, (*prices, *money, *trades, f8t, i4t)
    yield "measure", measure.measure, (f8t, i4t, f8, f8t)
    yield "daily_returns", measure.daily_returns, (f8t, f8, types.float32[:, ::1])
    yield "tally", measure.tally, (f8t, f8, i4s, i4s)
    yield "collect", measure.collect, (f8t, f8, i8, i4s, i4s)
    yield "gather", measure.gather, (f8t, i4s, f8t)
    yield "count_events", events.count_events, (u4t, i4t, i8, i8, i4s)
    yield "write_events", events.write_events, (u4t, i4t, u4t, i8, i8, i8s, i4s)
    yield "emas", ema.emas, (f8s, i8s, i8s, f8s, i8s, f8s)
    yield "signs", ema.signs, (f8s, i8t, u4t, i4t)


def compiled(capability: tuple[int, int]) -> Iterator[Compiled]:
    """Compile all kernels for one compute capability.

    Raises:
        Refused: this runs in the simulator, or ptxas is missing.
    """
    if SIMULATED:
        raise Refused("NUMBA_ENABLE_CUDASIM is set: the simulator compiles nothing", "unset it")
    # Numba asks the current device for its compute capability, but there is no device here.
    dispatcher: Any = importlib.import_module("numba.cuda.dispatcher")
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=capability)
    for name, kernel, types in signatures():
        ptx, _ = cuda.compile_ptx(kernel.py_func, types, cc=capability)
        yield _assembled(name, str(ptx), capability)


def ptxas() -> str:
    """Return the path of ptxas: from numba-cuda's own wheels, else from PATH.

    Raises:
        Refused: there is no ptxas.
    """
    package = find_spec("nvidia")
    for folder in (package.submodule_search_locations or []) if package else []:
        if (path := Path(folder) / "cuda_nvcc" / "bin" / "ptxas").is_file():
            return str(path)
    if (found := shutil.which("ptxas")) is None:
        raise Refused("there is no ptxas", install_line("cuda"))
    return found


def _assembled(name: str, ptx: str, capability: tuple[int, int]) -> Compiled:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "kernel.ptx", Path(folder) / "kernel.cubin"
        source.write_text(ptx, encoding="utf-8")
        architecture = "-arch=sm_{}{}".format(*capability)
        command = [ptxas(), "-v", architecture, str(source), "-o", str(target)]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
        if done.returncode:
            raise RuntimeError(f"{name}: {done.stderr}")
        said, code = done.stderr, target.read_bytes()

    def number(pattern: str) -> int:
        return max((int(one) for one in re.findall(pattern, said)), default=0)

    spills = number(r"(\d+) bytes spill stores") + number(r"(\d+) bytes spill loads")
    registers, stack = number(r"Used (\d+) registers"), number(r"(\d+) bytes stack frame")
    return Compiled(name, ptx, registers, stack, spills, _text_bytes(code) // _SASS_BYTES)


def _text_bytes(elf: bytes) -> int:
    """Return the bytes of the machine code sections in a 64-bit ELF file (man 5 elf)."""

    def field(at: int, size: int) -> int:
        return int.from_bytes(elf[at : at + size], "little")

    start, size, count, names = field(0x28, 8), field(0x3A, 2), field(0x3C, 2), field(0x3E, 2)
    strings = field(start + names * size + 0x18, 8)
    total = 0
    for section in range(count):
        header = start + section * size
        name = elf[strings + field(header, 4) :].split(b"\0", 1)[0]
        if name.startswith(b".text"):
            total += field(header + 0x20, 8)
    return total


def table(capability: tuple[int, int]) -> str:
    """Return the table of what ptxas reports for each kernel."""
    lines = [f"{'kernel':18} registers  stack  spills  instructions  fused"]
    for one in compiled(capability):
        sizes = f"{one.stack_bytes:5}  {one.spill_bytes:6}  {one.instructions:12}  {one.fused:5}"
        lines.append(f"{one.name:18} {one.registers:9}  {sizes}")
    return "\n".join(lines)
