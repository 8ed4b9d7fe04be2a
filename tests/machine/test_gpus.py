"""GPUs through a driver that answers, fails, hangs or is not there: real children, a fake `nvidia-smi` on the path."""

import os
import select
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from agents.machine import gpus, nvml, processes
from agents.machine.gpus import Cards, Question
from state.files import snapshot
from state.files.layout import Roots
from state.files.tree import record_of
from state.host import identity
from state.host.identity import Tree
from tests.agents.worlds import limits_with

LIMITS = limits_with(agents={"gpu_timeout_s": 5.0})
TWO_CARDS = """\
case "$*" in
  *query-gpu*) echo "0, GPU-a, NVIDIA H200, 73, 1024, 143771, 0, Disabled"
               echo "1, GPU-b, NVIDIA H200, [N/A], 10, 143771, [N/A], Disabled" ;;
  *compute-apps*) echo "GPU-a, {pid}"; echo "GPU-a, 1" ;;
esac
"""
SLICED = """\
case "$*" in
  *query-gpu*) echo "0, GPU-a, NVIDIA H200, [N/A], 0, 143771, 2, Enabled" ;;
  *compute-apps*) echo "MIG-2, 1" ;;
  -L) echo "GPU 0: NVIDIA H200 (UUID: GPU-a)"
      echo "  MIG 1g.18gb     Device  0: (UUID: MIG-1)"
      echo "  MIG 3g.71gb     Device  1: (UUID: MIG-2)" ;;
esac
"""


@dataclass
class Machine:
    """A device folder, a path with a driver on it, and the records of one root."""

    folder: Path
    roots: Roots
    now_s: float = 1_000.0

    def driver(self, script: str) -> None:
        path = self.folder / "bin" / "nvidia-smi"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def look(self, after_s: float = 15.0) -> Cards:
        """One look of a cycle, `after_s` later."""
        self.now_s += after_s
        return gpus.look(self.roots, LIMITS, self.now_s)

    def question(self) -> Question:
        return record_of(Question, snapshot.read_json(self.roots.gpu_question))

    def wait_for_child(self, question: Question | None = None) -> None:
        """Until the process that asks, or asked, has ended."""
        process = (question or self.question()).process
        assert process is not None
        try:
            descriptor = os.pidfd_open(process.pid)
        except ProcessLookupError:
            return
        ready, _, _ = select.select([descriptor], [], [], 60)
        os.close(descriptor)
        assert ready, "the child never ended"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidia0").touch()
    monkeypatch.setenv(gpus.DEVICES, str(tmp_path / "dev"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    one = Machine(tmp_path, Roots.from_environment({"RESULTS_ROOT": str(tmp_path / "r")}))
    yield one
    if one.roots.gpu_question.exists():
        processes.kill_tree(Tree.of(one.roots.state, one.question().nonce), None)


def test_no_device_is_no_gpu_and_nobody_is_asked(machine: Machine) -> None:
    (machine.folder / "dev" / "nvidia0").unlink()
    assert machine.look() == Cards((), "no NVIDIA device")
    assert not machine.roots.gpu_question.exists()


def test_the_answer_is_there_one_cycle_later(machine: Machine) -> None:
    machine.driver(TWO_CARDS.format(pid=os.getpid()))
    assert machine.look() == Cards(None, "the driver has not been asked yet")
    machine.wait_for_child()
    cards = machine.look()
    assert cards.gpus is not None
    assert [(c.uuid, c.utilisation_pct, c.uncorrected_errors) for c in cards.gpus] == [
        ("GPU-a", 73.0, 0.0),
        ("GPU-b", None, None),
    ]
    assert [c.memory_total_mb for c in cards.gpus] == [143771.0] * 2
    assert cards.gpus[0].foreign_pids == (1, os.getpid()), "neither of them is the swarm's"
    assert machine.question().state == "asked", "the next question is under way already"


def test_a_driver_that_hangs_costs_no_cycle_and_is_asked_again_when_its_child_is_gone(machine: Machine) -> None:
    machine.driver("exec sleep 600")
    began = time.monotonic()
    machine.look()
    first = machine.question()
    assert machine.look(after_s=1.0).reason == "the driver has not been asked yet"
    assert machine.question().nonce == first.nonce, "a child that still runs is not doubled"
    late = machine.look(after_s=10.0)
    assert late == Cards(None, "no answer within 5 s")
    assert time.monotonic() - began < 5.0, "a look waited for the driver"
    machine.wait_for_child(first)
    assert machine.look(after_s=1.0).reason == "no answer within 5 s"
    second = machine.question()
    assert second.nonce != first.nonce, "asked again"
    machine.driver(TWO_CARDS.format(pid=1))
    machine.look(after_s=10.0)
    machine.wait_for_child(second)
    machine.look(after_s=1.0)
    machine.wait_for_child()
    assert len(machine.look(after_s=1.0).gpus or ()) == 2


def test_nobody_of_a_child_that_hangs_is_left(machine: Machine) -> None:
    """The child waits for nvidia-smi, which hangs: both must go."""
    machine.driver(f'echo $$ > "{machine.folder}/there"; sleep 600')
    machine.look()
    first = machine.question()
    deadline = time.monotonic() + 60
    while not (machine.folder / "there").exists():
        assert time.monotonic() < deadline
    machine.look()
    machine.wait_for_child(first)
    while identity.holders(first.nonce):
        assert time.monotonic() < deadline


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (
            "echo 'NVIDIA-SMI has failed because it could not talk to the driver'; exit 9",
            "could not talk to the driver",
        ),
        ("exit 3", "exit code 3"),
        ("true", "the driver knows of no GPU"),
        ("echo 'something, else'", "something, else"),
    ],
)
def test_a_driver_that_fails_with_devices_there_is_unknown_in_its_own_words(
    machine: Machine, script: str, reason: str
) -> None:
    machine.driver(script)
    machine.look()
    machine.wait_for_child()
    cards = machine.look()
    assert cards.gpus is None
    assert reason in cards.reason


def test_a_child_that_died_is_unknown(machine: Machine) -> None:
    machine.driver("exec sleep 600")
    machine.look()
    processes.kill_tree(Tree.of(machine.roots.state, machine.question().nonce), None)
    assert machine.look(after_s=1.0) == Cards(None, "the process that asks it has died")


def test_what_was_known_long_ago_is_no_longer_known(machine: Machine) -> None:
    machine.driver(TWO_CARDS.format(pid=1))
    machine.look()
    machine.wait_for_child()
    assert len(machine.look().gpus or ()) == 2
    machine.wait_for_child()
    machine.look(after_s=15)
    machine.wait_for_child()
    machine.look(after_s=15)
    machine.wait_for_child()
    record = snapshot.read_json(machine.roots.gpu_question)
    snapshot.write_json(machine.roots.gpu_question, {**record, "state": "answered"})
    assert machine.look(after_s=500).gpus is None


def test_slices_of_a_card_are_devices(machine: Machine) -> None:
    machine.driver(SLICED)
    found = nvml.cards()
    assert [(c["uuid"], c["name"], c["slice"], c["pids"]) for c in found] == [
        ("MIG-1", "NVIDIA H200 MIG 1g.18gb", 0, []),
        ("MIG-2", "NVIDIA H200 MIG 3g.71gb", 1, [1]),
    ]
    assert {c["memory_total_mb"] for c in found} == {None}, "the card's memory is not the slice's"


PYNVML = """
class NVMLError(Exception):
    pass
NVML_MEMORY_ERROR_TYPE_UNCORRECTED = NVML_VOLATILE_ECC = 0
class _Of:
    def __init__(self, **values):
        self.__dict__.update(values)
def nvmlInit(): pass
def nvmlShutdown(): pass
def nvmlDeviceGetCount(): return 1
def nvmlDeviceGetHandleByIndex(index): return index
def nvmlDeviceGetName(handle): return b"H200"
def nvmlDeviceGetUUID(handle): return "GPU-lib"
def nvmlDeviceGetMemoryInfo(handle): return _Of(used=2 << 20, total=8 << 20)
def nvmlDeviceGetUtilizationRates(handle): return _Of(gpu=55)
def nvmlDeviceGetComputeRunningProcesses(handle): return [_Of(pid=9)]
def nvmlDeviceGetTotalEccErrors(*words): raise NVMLError("not supported")
def nvmlDeviceGetMigMode(handle): raise NVMLError("not supported")
"""


FALLEN = """
def nvmlDeviceGetCount(): return 3
def nvmlDeviceGetHandleByIndex(index):
    if index in LOST:
        raise NVMLError("GPU is lost")
    return index
def nvmlDeviceGetUUID(handle): return f"GPU-{handle}"
def nvmlDeviceGetMemoryInfo(handle):
    if handle == 2:
        raise NVMLError("not supported")
    return _Of(used=2 << 20, total=8 << 20)
"""


def pynvml(lost: set[int]) -> Any:
    library = ModuleType("pynvml")
    exec(compile(PYNVML + FALLEN, "pynvml.py", "exec"), library.__dict__)
    library.__dict__["LOST"] = lost
    return library


def test_a_card_that_fell_off_the_bus_does_not_hide_the_others() -> None:
    found = nvml.through_nvml(pynvml({0}))
    assert [(card["index"], card["uuid"], card["memory_total_mb"]) for card in found] == [
        (1, "GPU-1", 8.0),
        (2, "GPU-2", None),
    ]


def test_without_one_card_that_answers_nothing_is_known() -> None:
    library = pynvml({0, 1, 2})
    with pytest.raises(library.NVMLError, match="GPU is lost"):
        nvml.through_nvml(library)


def test_the_library_is_preferred_where_it_is_installed(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine.folder / "pynvml.py").write_text(PYNVML)
    monkeypatch.syspath_prepend(str(machine.folder))
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)  # the real one, where it is installed
    try:
        (card,) = nvml.cards()
    finally:
        sys.modules.pop("pynvml", None)
    assert (card["uuid"], card["name"], card["utilisation_pct"], card["pids"]) == ("GPU-lib", "H200", 55.0, [9])
    assert (card["memory_used_mb"], card["memory_total_mb"], card["uncorrected_errors"]) == (2.0, 8.0, None)
