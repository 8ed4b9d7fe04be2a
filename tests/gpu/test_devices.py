"""Picking one of several devices, and what the driver's errors mean; with fakes for the driver."""

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cuda.bindings.driver import CUresult
from cuda.core._utils.cuda_utils import CUDAError

from config.errors import Refused
from config.settings import load
from state.files.layout import CHECKOUT
from tests.engines.builders import bars_of
from tests.properties.worlds import quiet_walk
from WORKFLOW.engines import choice
from WORKFLOW.engines.gpu import device, presence
from WORKFLOW.engines.gpu.device import LEAST_COMBOS, Device, code_of
from WORKFLOW.engines.gpu.presence import GpuLost
from WORKFLOW.engines.market import Market
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.signals import FAMILIES

H200 = Device(0, "NVIDIA H200", "GPU-aaa", (9, 0))


class Driver:
    """Three devices, the last a MIG slice; what was selected; how much memory is free."""

    def __init__(self) -> None:
        cards = [
            ("NVIDIA H200", "GPU-aaa", (9, 0)),
            (b"NVIDIA A100", "GPU-bbb", (8, 0)),
            ("NVIDIA H200 MIG 1g.18gb", "GPU-ccc", (9, 0)),  # what numba-cuda makes of MIG-ccc
        ]
        listed = [SimpleNamespace(name=name, uuid=uuid, compute_capability=cc) for name, uuid, cc in cards]
        self.gpus = SimpleNamespace(lst=listed)
        self.selected: list[int] = []
        self.free, self.fault = 10_000_000, None

    def select_device(self, number: int) -> None:
        if self.fault is not None:
            raise self.fault
        self.selected.append(number)

    def current_context(self) -> Any:
        return SimpleNamespace(get_memory_info=lambda: SimpleNamespace(free=self.free, total=2 * self.free))


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    one = Driver()
    monkeypatch.setattr(device, "cuda", one)
    monkeypatch.setattr(device, "reason_against", lambda: None)
    monkeypatch.setattr(choice, "reason_against", lambda: None)
    choice.choose.cache_clear()
    return one


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ({}, "NVIDIA H200"),
        ({"number": 1}, "NVIDIA A100"),
        ({"number": 2}, "NVIDIA H200 MIG 1g.18gb"),
    ],
)
def test_a_device_is_found_by_number(asked: dict[str, Any], name: str, driver: Driver) -> None:
    found = device.chosen(**asked)
    assert found.name == name
    assert driver.selected == [found.number]


def test_a_slice_has_the_uuid_that_cuda_visible_devices_takes(driver: Driver) -> None:
    assert [one.uuid for one in device.devices()] == ["GPU-aaa", "GPU-bbb", "MIG-ccc"]


def test_devices_are_numbered_as_nvidia_smi_does() -> None:
    """As the swarm does, which asks NVML: the driver's own order puts the fastest first."""
    clean = {name: value for name, value in os.environ.items() if name != "CUDA_DEVICE_ORDER"}
    code = "import os, WORKFLOW.engines.gpu.toolkit; print(os.environ['CUDA_DEVICE_ORDER'])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, env=clean, capture_output=True, text=True, check=False
    )
    assert done.stdout == "PCI_BUS_ID\n", done.stderr


def test_one_that_is_not_there_is_refused_with_those_that_are(driver: Driver) -> None:
    with pytest.raises(Refused, match="there is no GPU 3") as refusal:
        device.chosen(3)
    assert "1 (NVIDIA A100, GPU-bbb)" in refusal.value.way_out
    assert driver.selected == []


def test_one_that_cannot_be_opened_is_refused_and_auto_goes_on_without(driver: Driver) -> None:
    driver.fault = RuntimeError("[46] devices are busy or unavailable")
    with pytest.raises(Refused, match=r"GPU 0 \(NVIDIA H200, GPU-aaa\): cannot be used: \[46\]"):
        choice.choose("gpu", 0)
    taken = choice.choose("auto")
    assert taken.engine == "native"
    assert "cannot be used: [46]" in taken.why


def test_auto_takes_a_gpu_that_can_be_used_and_says_which(driver: Driver) -> None:
    assert str(choice.choose("auto", 1)) == "gpu (NVIDIA A100, GPU-bbb)"
    assert choice.choose("native").device is None
    assert driver.selected == [1]


def test_a_batch_is_what_free_memory_holds_and_never_grows(driver: Driver) -> None:
    one = device.chosen()
    assert one.combos_at_once(1_000) == 7_000
    driver.free *= 10
    assert one.combos_at_once(1_000) == 7_000
    driver.free = 10
    assert device.chosen().combos_at_once(1_000) == LEAST_COMBOS


@pytest.mark.parametrize(("family", "together"), [("mtf_ema", 16), ("donchian", 1)])
def test_several_batches_at_once_are_for_families_with_kernels(family: str, together: int) -> None:
    """The planes of others are made and held by the host: 50 KB a signal over two years, 13 GB for sixteen batches."""
    market = Market.of(bars_of(quiet_walk(np.random.default_rng(1), 50), 0.01))
    evaluator = Evaluator(market, FAMILIES[family], load({}).costs, "gpu")
    evaluator.__dict__["choice"] = choice.EngineChoice("gpu", "", H200)
    assert evaluator.batches_together(16_384) == together


class Code(Exception):
    """An error that carries a code as numba-cuda's do: a number, or an enumeration of one."""

    def __init__(self, code: Any) -> None:
        super().__init__(code)
        self.code = code


@pytest.mark.parametrize("code", [2, SimpleNamespace(value=2)])
def test_out_of_memory_halves_down_to_the_least(code: Any) -> None:
    one = Device(0, "x", "GPU-x", (9, 0))
    one.give_way(Code(code), 1_000)
    assert one.most_combos == 500
    one.give_way(Code(code), LEAST_COMBOS + 1)
    assert one.most_combos == LEAST_COMBOS
    with pytest.raises(GpuLost, match="no room for 32 combos"):
        one.give_way(Code(code), LEAST_COMBOS)


@pytest.mark.parametrize("code", [46, 100, 214, 700, 702, 719, 999])
def test_a_lost_device_is_final_and_says_which_and_why(code: int) -> None:
    with pytest.raises(GpuLost, match=rf"GPU 0 \(NVIDIA H200, GPU-aaa\): .*CUDA error {code}") as lost:
        H200.give_way(Code(code), 1_000)
    assert "--engine native" in lost.value.way_out


@pytest.mark.parametrize(
    ("name", "code"),
    [("CUDA_ERROR_ILLEGAL_ADDRESS", 700), ("CUDA_ERROR_UNSUPPORTED_PTX_VERSION", 222)],
)
def test_what_a_launch_says_is_understood(name: str, code: int) -> None:
    """Kernels are loaded and launched by cuda.core, whose errors name the driver's and carry no code."""
    full = CUDAError("CUDA_ERROR_OUT_OF_MEMORY: The API call failed because it was unable to allocate enough memory")
    one = Device(0, "x", "GPU-x", (9, 0))
    one.give_way(full, 1_000)
    assert one.most_combos == 500
    with pytest.raises(GpuLost, match=f"CUDA error {code}"):
        H200.give_way(CUDAError(f"{name}: as the driver explains it"), 1_000)
    assert code_of(CUDAError("CUDA_ERROR_OF_NEXT_YEAR: unknown here")) is None
    assert code_of(ValueError("CUDA_ERROR_ILLEGAL_ADDRESS: somebody else's")) is None


def test_every_code_of_a_lost_device_is_one_of_the_driver() -> None:
    assert device._LOST.keys() <= {int(one) for one in CUresult}


def test_what_is_not_the_drivers_keeps_its_own_name() -> None:
    assert code_of(KeyError("x")) is None
    with pytest.raises(KeyError):
        H200.give_way(KeyError("x"), 1_000)
    with pytest.raises(Code):
        H200.give_way(Code(1), 1_000)  # an invalid value: a mistake of ours, not of the device


def test_the_files_of_a_driver_are_looked_at_without_loading_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(presence, "_DRIVER", (str(tmp_path / "nvidiactl"),))
    for name in ("CUDA_VISIBLE_DEVICES", "NUMBA_ENABLE_CUDASIM"):
        monkeypatch.delenv(name, raising=False)
    against = presence.reason_against()
    assert against is not None
    assert against.reason == "there is no NVIDIA driver on this machine"
