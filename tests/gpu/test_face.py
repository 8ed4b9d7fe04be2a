"""The public face and the choice of an engine: refused with the way out, never replaced in silence, no CUDA unasked."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from config.errors import Refused
from state.files.layout import CHECKOUT
from tests.WORKFLOW.pipeline import SMALL, run
from tests.WORKFLOW.test_mtf_resampler import T0, walk
from WORKFLOW.data.generate import write_demo
from WORKFLOW.engines import choice
from WORKFLOW.engines.gpu import presence
from WORKFLOW.engines.gpu.presence import SIMULATOR_WANTED, reason_against
from WORKFLOW.gpu_batch_engine import gpu_prescreen

# What a process has opened, as the kernel sees it, and what it has imported.
LOOK = """
import json, os, sys
def opened():
    for fd in os.listdir("/proc/self/fd"):
        try:
            yield os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            pass
maps = open("/proc/self/maps").read()
print(json.dumps({
    "libcuda": "libcuda.so" in maps or "libnvvm" in maps,
    "devices": [name for name in opened() if name.startswith("/dev/nvidia")],
    "modules": [name for name in sys.modules if name.startswith(("numba.cuda", "numba_cuda", "cuda."))],
}))
"""


def in_a_child(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=CHECKOUT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo(tmp_path_factory.mktemp("data"), days=100, seed=11)


@pytest.mark.parametrize("engine", ["native", "auto"])
def test_without_a_gpu_nothing_of_cuda_is_touched(engine: str) -> None:
    """A whole screen with `--gpu -1`, then a look at the process: by the kernel's own account no driver, no device."""
    code = f"""
import numpy as np
from config.settings import load
from tests.WORKFLOW.test_mtf_resampler import T0, walk
from WORKFLOW import gpu_batch_engine
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.search.space import draw, family_of
from WORKFLOW.engines.market import Market
settings = load({{}})
columns = walk(3_000, 5)
market = Market.of(gpu_batch_engine._bars(columns[3], *columns[:3], T0))
mode = settings.mode("aggressive")
evaluator = Evaluator(market, family_of(mode), settings.costs, {engine!r}, -1)
best = evaluator.best(draw(mode, 8, np.random.SeedSequence(1)), 0, 5, 1)
assert best.tried == 8
assert evaluator.engine_name == "native"
{LOOK}
"""
    done = in_a_child(code)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"libcuda": False, "devices": [], "modules": []}


def test_the_look_sees_cuda_where_it_is_used() -> None:
    done = in_a_child("import WORKFLOW.engines.gpu.toolkit\n" + LOOK)
    assert done.returncode == 0, done.stderr
    assert "numba.cuda" in json.loads(done.stdout)["modules"]


def test_few_combos_are_no_news_to_numba() -> None:
    """It warns of every small grid, on stderr, and had read its variables when the CPU engine was loaded."""
    code = "import numba, WORKFLOW.engines.gpu.toolkit; print(numba.core.config.CUDA_LOW_OCCUPANCY_WARNINGS)"
    done = in_a_child(code)
    assert done.stdout == "0\n", done.stdout + done.stderr


def test_a_gpu_that_was_asked_for_is_there_or_refused(tmp_path: Path, data: Path) -> None:
    if reason_against() is None:
        pytest.skip("this machine has a GPU: nothing is refused")
    done = run(tmp_path, *SMALL, "--data-path", str(data), "--engine", "gpu")
    assert done.returncode == 1
    assert "\nerror: there is no NVIDIA driver on this machine\n" in done.stderr
    assert "--engine native" in done.stderr
    assert not (tmp_path / "Backtests").exists()


@pytest.mark.parametrize(
    ("environment", "said", "way_out"),
    [
        ({"CUDA_VISIBLE_DEVICES": "-1"}, "CUDA_VISIBLE_DEVICES is '-1'", "unset it"),
        ({"CUDA_VISIBLE_DEVICES": ""}, "CUDA_VISIBLE_DEVICES is ''", "unset it"),
        ({"NUMBA_ENABLE_CUDASIM": "1"}, "Numba's simulator, not a GPU", "unset it"),
        ({}, "numba-cuda is not installed", "pip install"),
    ],
)
def test_why_not(
    environment: dict[str, str], said: str, way_out: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On a machine that has a driver, as far as files tell."""
    monkeypatch.setattr(presence, "_DRIVER", (str(tmp_path),))
    monkeypatch.setattr(presence, "find_spec", lambda _: None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("NUMBA_ENABLE_CUDASIM", raising=False)
    monkeypatch.delenv(SIMULATOR_WANTED, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    choice.choose.cache_clear()
    with pytest.raises(Refused, match=said) as refusal:
        choice.choose("gpu")
    assert way_out in refusal.value.way_out
    taken = choice.choose("auto")
    assert taken.engine == "native"
    assert said.split("'", maxsplit=1)[0] in taken.why
    choice.choose.cache_clear()


def test_a_driver_that_fails_is_a_refusal_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Device nodes without a driver library behind them: what the CUDA library says is passed on."""
    if reason_against() is None:
        pytest.skip("this machine has a GPU")
    monkeypatch.setattr(presence, "_DRIVER", (str(tmp_path),))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    choice.choose.cache_clear()
    with pytest.raises(Refused, match="the CUDA driver cannot be used") as refusal:
        choice.choose("gpu")
    assert "doctor" in refusal.value.way_out
    taken = choice.choose("auto")
    assert (taken.engine, taken.device) == ("native", None)
    assert taken.why.startswith("no usable GPU: the CUDA driver cannot be used")
    choice.choose.cache_clear()


def test_minus_one_and_a_gpu_contradict_each_other() -> None:
    with pytest.raises(Refused, match="--gpu -1 switches GPUs off"):
        choice.choose("gpu", -1)


# gpu_prescreen -------------------------------------------------------------------------------------------------------


def test_the_face_gives_what_the_cpu_gives() -> None:
    """In the simulator: the same best of the same draw, `Batch 1/` said, close first."""
    code = """
import numpy as np
from tests.gpu.test_face import one_prescreen
lines = []
found = one_prescreen(lines.append)
assert lines[0].startswith("engine gpu (simulator"), lines
assert lines[1].startswith("Batch 1/1 "), lines
from config.settings import load
from WORKFLOW import gpu_batch_engine as face
from WORKFLOW.engines.market import Market
from WORKFLOW.search import prescreen, space
from WORKFLOW.search.evaluate import Evaluator
from tests.WORKFLOW.test_mtf_resampler import T0, walk
settings = load({})
o, h, l, c = walk(2_500, 3)
mode = settings.mode("aggressive")
native = Evaluator(Market.of(face._bars(c, o, h, l, T0)), space.family_of(mode), settings.costs, "native")
combos = space.Draw(mode, 6, np.random.SeedSequence(1))
expected = prescreen.result(
    prescreen.run(native, combos, settings.prescreen, 1, prescreen.PrescreenProgress(), lambda *_: None), combos
)
assert found == expected
assert found.most_trades > 0
# the same bars as a DataFrame
from tests.WORKFLOW.test_pandas_columns import bars
assert face.gpu_prescreen(bars((o, h, l, c), T0), mode="aggressive", n_combos=6, seed=1, say=lines.append) == found
# as deployed scripts go through it
valid = [r for r in found if r.get("total_trades", 0) >= 1]
assert [r["sharpe_ratio"] for r in valid] == [one.metrics.sharpe_ratio for one in found.best]
"""
    done = in_a_child(code, NUMBA_ENABLE_CUDASIM="1", **{SIMULATOR_WANTED: "1"})
    assert done.returncode == 0, done.stderr


def one_prescreen(say: object) -> object:
    """Six combos on a random walk."""
    o, h, l, c = walk(2_500, 3)
    return gpu_prescreen(c, o, h, l, "aggressive", n_combos=6, seed=1, first_open_ms=T0, say=say)  # type: ignore[arg-type]


def test_swapped_arrays_are_refused_before_a_gpu_is_looked_for() -> None:
    with pytest.raises(Refused, match="seem swapped") as refusal:
        gpu_prescreen(*walk(300, 5), "aggressive", n_combos=5)
    assert "close, open_, high, low" in refusal.value.way_out


@pytest.mark.parametrize(("changes", "said"), [({"n_combos": 0}, "n_combos is 0"), ({"mode": "no"}, "no")])
def test_what_makes_no_sense_is_refused(changes: dict[str, object], said: str) -> None:
    o, h, l, c = walk(300, 5)
    with pytest.raises(Refused, match=said):
        gpu_prescreen(c, o, h, l, **{"mode": "aggressive", "n_combos": 5, "first_open_ms": T0, **changes})  # type: ignore[arg-type]


def test_no_bars_are_refused() -> None:
    none = np.zeros(0)
    with pytest.raises(Refused, match="no bars"):
        gpu_prescreen(none, none, none, none, "aggressive")
