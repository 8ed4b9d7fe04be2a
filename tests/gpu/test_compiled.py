"""What the kernels compile to, for every compute capability that is asked for; no GPU needed."""

import json
import subprocess
import sys

import pytest

from config.settings import load
from scripts.lab import gpu_model, space
from scripts.lab.gpu_model import ComboWork, KernelLoop
from state.files.layout import CHECKOUT
from WORKFLOW.data.bars import BARS_PER_DAY, Bars
from WORKFLOW.data.generate import demo_rows

# 64 KiB registers a multiprocessor: at 80 a thread, 24 warps of 64 hide each other's waiting.
MOST_REGISTERS = 80

CODE = """
import json, sys
from scripts.lab.gpu_compiled import compiled
print(json.dumps([
    {"name": one.name, "registers": one.registers, "stack": one.stack_bytes, "spills": one.spill_bytes,
     "fused": one.fused, "instructions": one.instructions, "products": one.ptx.count("mul.rn.f64"),
     "votes": one.ptx.count("vote.sync.ballot"), "target": one.ptx.split(".target ")[1].split()[0]}
    for one in compiled(tuple(map(int, sys.argv[1:])))
]))
"""


@pytest.mark.parametrize(("major", "minor"), [(8, 0), (9, 0), (12, 0)])
def test_kernels_compile_without_spills_and_without_fused_sums(major: int, minor: int) -> None:
    """A local array shows as stack, not as spills: both are looked at."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(major), str(minor)], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    kernels = {one["name"]: one for one in json.loads(done.stdout)}
    assert len(kernels) == 13
    for one in kernels.values():
        assert one["target"] == f"sm_{major}{minor}"
        assert (one["stack"], one["spills"], one["fused"]) == (0, 0, 0), one
        assert 0 < one["registers"] <= MOST_REGISTERS, one
        assert one["instructions"] > 50
    for name in ("emas", "settle (ticks)", "search (prices)", "measure"):
        assert kernels[name]["products"] > 0, name
    for name in ("signs", "search (ticks)"):
        assert kernels[name]["votes"] > 0, name


def test_what_is_launched_is_what_is_looked_at() -> None:
    """Numba would hand kernels to the linker's own compiler, and none of the above would be known."""
    code = """
from scripts.lab.gpu_compiled import signatures
print({kernel.targetoptions["lto"] for _, kernel, _ in signatures()})
from WORKFLOW.engines.gpu import levels, touch, warp
print({function.targetoptions["lto"] for function in (levels.stop_at, touch.first_touch, warp.ballot)})
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.stdout == "{False}\n{False}\n", done.stderr


FUSIBLE = """.visible .entry f(){ mul.f64 %fd1, %fd2, %fd3;
 mul.f64 %fd4, %fd2, %fd2;
 add.f64 %fd5, %fd1, %fd9;
 sub.f64 %fd6, %fd7, %fd8;
 fma.rn.f64 %fd7, %fd1, %fd2, %fd3; }"""


def test_the_gate_sees_what_would_be_fused() -> None:
    """One product that feeds a sum, and one that is fused already."""
    from scripts.lab.gpu_compiled import Compiled

    assert Compiled("f", FUSIBLE, 1, 0, 0, 1).fused == 2
    assert Compiled("f", FUSIBLE.replace("mul.f64", "mul.rn.f64"), 1, 0, 0, 1).fused == 1


NESTED = """
.visible .entry f(
	.param .u64 p
)
{
	.reg .b32 %r<3>;
	mov.u32 %r1, 1;
$L__BB0_1:
	add.s32 %r1, %r1, 1;
$L__BB0_2:
	add.f64 %fd1, %fd1, %fd2;
	setp.lt.s32 %p1, %r1, 9;
	@%p1 bra $L__BB0_2;
	setp.lt.s32 %p2, %r1, 99;
	@%p2 bra $L__BB0_1;
	ret;
}
"""


def test_loops_are_found_with_what_is_their_own() -> None:
    assert gpu_model.loops(NESTED) == [KernelLoop(0, 3, 0), KernelLoop(1, 3, 1)]


def test_the_model_is_called_a_model_and_grows_with_the_work() -> None:
    from scripts.lab.gpu_compiled import Compiled

    names = ("signs", "count_events", "write_events", "search (ticks)", "settle (ticks)", "measure")
    kernels = {name: Compiled(name, NESTED, 1, 0, 0, 14) for name in names}
    small = ComboWork(365, 105_120, 150, 150, 0.5, 0.3, 20_000)
    large = ComboWork(730, 210_240, 300, 300, 0.5, 0.3, 40_000)
    one, two = gpu_model.per_combo(kernels, small), gpu_model.per_combo(kernels, large)
    assert all(two[name][0] > one[name][0] and two[name][1] > one[name][1] for name in names)
    assert gpu_model.text(kernels, large, 250_000).startswith("MODEL, not measured")


def test_fewer_combos_than_a_sample_are_counted_all() -> None:
    """A sample of 512 was taken from however few there were."""
    bars = Bars("SYNTHETIC", demo_rows(260)[-30 * BARS_PER_DAY :], 0.01, True, "made up")
    work = gpu_model.work_of(bars, space.mode("benchmark", load({})), load({}).costs, 3, 7)
    assert (work.days, work.bars) == (30, 30 * BARS_PER_DAY)
    assert work.events > 0
