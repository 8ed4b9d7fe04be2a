"""A prescreen lane for each GPU: bound by UUID, filled while there is a queue, drained when the device is lost."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agents.machine import launcher
from agents.machine.observe import gpu_lanes
from agents.model.world import Control, Lane
from agents.roles import watchdog
from agents.roles.worker_sentry import Memory, decide
from agents.rules import fill, idle
from hooks import hardware_capacity_watchdog
from state.files import snapshot
from state.files.layout import CHECKOUT, Roots
from state.files.tree import tree_of
from state.host import identity
from state.records import orders
from state.records.report_parts import Gpu, on_record
from state.records.workers import GPU_LOST, Exit, Launch
from tests.agents.worlds import LIMITS, ORDER, died, job, running, state, worker, world
from WORKFLOW.pipeline.lane.given import LaneContext

CARDS = (
    Gpu(0, "GPU-aaa", "NVIDIA H200", 93.0, uncorrected_errors=0.0),
    Gpu(1, "GPU-bbb", "NVIDIA H200", 0.0, uncorrected_errors=None),
)
SLICES = (Gpu(0, "MIG-1", slice=0, mig=True), Gpu(0, "MIG-2", slice=1, mig=True))
LANES = (Lane("gpu0", 1, "GPU-aaa"), Lane("gpu1", 1, "GPU-bbb"))


def launched(**values: Any) -> dict[str, tuple[str, str]]:
    """Job → lane and UUID of what is started."""
    actions = decide(world(**values), Memory(), LIMITS).actions
    return {a.target: (a.arguments["lane"], a.arguments.get("gpu", "")) for a in actions if a.kind == "launch_worker"}


@pytest.mark.parametrize(
    ("gpus", "visible", "found"),
    [
        (CARDS, None, ["gpu0 GPU-aaa", "gpu1 GPU-bbb"]),
        (CARDS, "GPU-bbb", ["gpu1 GPU-bbb"]),
        (CARDS, "1", ["gpu1 GPU-bbb"]),
        (CARDS, "-1", []),
        (CARDS, "", []),
        (SLICES, None, ["gpu0.0 MIG-1", "gpu0.1 MIG-2"]),
        ((replace(CARDS[0], uncorrected_errors=3.0), CARDS[1]), None, ["gpu1 GPU-bbb"]),
        ((), None, []),
        (None, None, []),
        ((Gpu(0),), None, []),
    ],
)
def test_every_device_that_can_be_trusted_and_is_not_hidden_is_a_lane(
    gpus: Any, visible: Any, found: list[str]
) -> None:
    assert [f"{lane.lane_id} {lane.gpu}" for lane in gpu_lanes(gpus, ORDER, visible)] == found
    assert gpu_lanes(gpus, replace(ORDER, engine="native"), visible) == ()
    assert gpu_lanes(gpus, None, visible) == ()


@pytest.mark.parametrize(("number", "found"), [(None, ["gpu0", "gpu1"]), (1, ["gpu1"]), (7, []), (-1, [])])
def test_an_order_may_name_its_only_gpu_or_none(number: int | None, found: list[str]) -> None:
    order = replace(ORDER, gpu=number)
    assert [lane.lane_id for lane in gpu_lanes(CARDS, order, None)] == found
    devices = idle.gpus(world(order=order, control=Control(gpus=CARDS)), LIMITS)
    unused = [one for one in devices if one.name not in found]
    words = {1: "this run uses GPU 1 alone (--gpu 1)", 7: "this run uses GPU 7 alone (--gpu 7)", -1: "(--gpu -1)"}
    assert all(words[number or 0] in one.why for one in unused)


def test_slices_of_the_gpu_named_are_its_lanes() -> None:
    assert [lane.lane_id for lane in gpu_lanes(SLICES, replace(ORDER, gpu=0), None)] == ["gpu0.0", "gpu0.1"]


def test_jobs_that_wait_for_a_gpu_that_is_not_there_say_which() -> None:
    wanted = replace(ORDER, engine="gpu", gpu=7)
    waits = decide(world(jobs=(state(job("prescreen")),), order=wanted), Memory(), LIMITS)
    assert "1 jobs wait for GPU 7, which is not there" in waits.reason


def test_the_watchdog_names_work_of_a_gpu_that_runs_on_a_cpu() -> None:
    """Nobody starts such a worker: here one is there all the same, and the gate of the operator hears of it."""
    on_gpu = worker(job("prescreen"), lane="gpu0")
    on_gpu = replace(on_gpu, launch=replace(on_gpu.launch, gpu="GPU-aaa"))
    strays = (worker(job("prescreen", shard=1)), worker(job("search")), on_gpu)

    def report(engine: str) -> Any:
        order = replace(ORDER, engine=engine)
        return watchdog.decide(world(workers=strays, order=order), watchdog.Memory(), LIMITS).report

    assert report("gpu").gpu_fallbacks == ("r0.SOL.aggressive.prescreen.1",)
    assert report("auto").gpu_fallbacks == ()
    verdicts = {one.gate: one for one in hardware_capacity_watchdog.judge(on_record(report("gpu")))}
    stray = verdicts["hardware_capacity:no_silent_fallback"]
    assert not stray.passed
    assert "r0.SOL.aggressive.prescreen.1" in stray.reason


def test_each_gpu_gets_a_prescreen_and_cores_take_the_rest() -> None:
    jobs = tuple(state(job("prescreen", shard=n, shards=5)) for n in range(5))
    assert launched(jobs=jobs, gpu_lanes=LANES) == {
        "r0.SOL.aggressive.prescreen.0": ("gpu0", "GPU-aaa"),
        "r0.SOL.aggressive.prescreen.1": ("gpu1", "GPU-bbb"),
        "r0.SOL.aggressive.prescreen.2": ("cpu0", ""),
        "r0.SOL.aggressive.prescreen.3": ("cpu1", ""),
    }


def test_other_phases_and_a_lane_that_is_taken_start_nothing_on_a_gpu() -> None:
    busy = worker(job("prescreen", shard=7), lane="gpu0")
    jobs = (state(job("search")), state(job("prescreen", "BTC")), running(job("prescreen", shard=7)))
    assert launched(jobs=jobs, workers=(busy,), gpu_lanes=LANES) == {
        "r0.BTC.aggressive.prescreen.0": ("gpu1", "GPU-bbb"),
        "r0.SOL.aggressive.search.0": ("cpu0", ""),
    }


def test_an_idle_gpu_is_filled() -> None:
    found = launched(fills=(state(job("refine")),), jobs=(running(job("search")),), gpu_lanes=LANES[:1])
    assert found == {"r0.SOL.aggressive.refine.0": ("gpu0", "GPU-aaa")}


def test_engine_gpu_never_falls_back() -> None:
    wanted = replace(ORDER, engine="gpu")
    jobs = (state(job("prescreen")), state(job("prescreen", "BTC")), state(job("report", "BTC")))
    found = launched(jobs=jobs, order=wanted, gpu_lanes=LANES[:1])
    assert found["r0.SOL.aggressive.prescreen.0"] == ("gpu0", "GPU-aaa")
    assert "r0.BTC.aggressive.prescreen.0" not in found
    assert found["r0.BTC.aggressive.report.0"][0] == "cpu0"
    waits = decide(world(jobs=jobs[:1], order=wanted), Memory(), LIMITS)
    assert [a.kind for a in waits.actions] == []
    assert "1 jobs wait for one of 0 GPUs" in waits.reason


def test_a_lost_device_drains_its_lane_and_is_not_held_against_the_job() -> None:
    one = job("prescreen")
    gone = worker(one, lane="gpu0", life="dead", exit=Exit("w", GPU_LOST, None))
    gone = replace(gone, launch=replace(gone.launch, gpu="GPU-aaa"))
    held = running(one, deaths=LIMITS.blame.max_deaths - 1, lane="gpu0")
    decision = decide(world(jobs=(held,), workers=(gone,), gpu_lanes=LANES[:1]), Memory(), LIMITS)
    (death,) = [a for a in decision.actions if a.kind == "record_death"]
    assert (death.arguments["deaths"], death.arguments["wait_s"]) == (LIMITS.blame.max_deaths - 1, 0.0)
    assert death.arguments["reason"] == "its GPU cannot be used (its log says why)"
    again = decide(world(jobs=(state(one),), gpu_lanes=LANES[:1]), decision.memory, LIMITS)
    (launch,) = again.actions
    assert launch.arguments["lane"] == "cpu0"
    later = world(jobs=(state(one),), gpu_lanes=LANES[:1], now_s=world().now_s + LIMITS.blame.backoff_max_s + 1)
    assert decide(later, decision.memory, LIMITS).actions[0].arguments["lane"] == "gpu0"


def test_the_same_exit_code_on_a_cpu_lane_is_an_ordinary_death() -> None:
    one = job("prescreen")
    decision = decide(world(jobs=(running(one),), workers=(died(worker(one), code=GPU_LOST),)), Memory(), LIMITS)
    (death,) = [a for a in decision.actions if a.kind == "record_death"]
    assert death.arguments["deaths"] == 1


def test_gpu_workers_hold_no_core_lanes() -> None:
    mine = worker(job("prescreen"), lane="gpu0")
    mine = replace(mine, launch=replace(mine.launch, gpu="GPU-aaa"))
    free = {"reports": {"util_controller": {"fill_lanes": 2}}, "order": replace(ORDER, rounds=0)}
    with_gpu, without = (fill._idle_lanes(world(workers=some, **free)) for some in ((mine,), ()))
    assert with_gpu == without == 2


def test_throughput_stands_beside_what_the_driver_calls_utilisation() -> None:
    one = worker(job("prescreen"), lane="gpu0", rate_per_s=1_234_567.0)
    (busy, free) = idle.gpus(world(workers=(one,), gpu_lanes=LANES, control=Control(gpus=CARDS)), LIMITS)
    assert (busy.name, busy.busy_pct, busy.why) == (
        "gpu0",
        93.0,
        "works on r0.SOL.aggressive.prescreen.0, 1,234,567 combos/s",
    )
    assert (free.name, free.state) == ("gpu1", "idle")


# the worker's own environment -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gpu", "sees"), [("GPU-aaa", "GPU-aaa"), ("", "-1")])
def test_a_worker_sees_its_own_device_or_none(gpu: str, sees: str, tmp_path: Path, monkeypatch: Any) -> None:
    roots = Roots(tmp_path, tmp_path / "state", tmp_path / "logs")
    told: dict[str, str] = {}

    class Process:
        pid = os.getpid()
        returncode = None

        def __init__(self, *_: Any, env: dict[str, str], **__: Any) -> None:
            told.update(env)

    monkeypatch.setattr(subprocess, "Popen", Process)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    launch = replace(worker(job("prescreen")).launch, gpu=gpu)
    launcher.spawn(roots, launch, LIMITS)
    assert told["CUDA_VISIBLE_DEVICES"] == sees


def test_a_worker_whose_device_cannot_be_opened_says_so_and_leaves(tmp_path: Path) -> None:
    """A real worker bound to a GPU on a machine that has none: exit code 5, no result, the reason in its log."""
    roots = Roots(tmp_path, tmp_path / "state", tmp_path / "logs")
    orders.write(roots.swarm_run("bt-1").order, ORDER)
    launch: Launch = replace(worker(job("prescreen")).launch, gpu="GPU-none", lane="gpu0", boot_id=identity.boot_id())
    path = roots.launch(launch.worker_id)
    snapshot.write_json(path, tree_of(launch))
    done = subprocess.run(
        [sys.executable, "-m", "WORKFLOW.pipeline.lane.worker", str(path)],
        cwd=CHECKOUT,
        env={
            **os.environ,
            "RESULTS_ROOT": str(tmp_path),
            "STATE_ROOT": str(roots.state),
            "LOGS_ROOT": str(roots.logs),
            "CUDA_VISIBLE_DEVICES": "GPU-none",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == GPU_LOST, done.stdout + done.stderr
    assert "leaving the GPU: gpu0 (GPU-none): " in done.stdout
    assert not roots.swarm_run("bt-1").round(0).result(launch.job.job_id).exists()


@pytest.mark.parametrize(("ooms", "held"), [(0, None), (1, 8_192), (20, 64)])
def test_a_prescreen_is_cut_up_only_where_memory_ran_out_before(ooms: int, held: int | None, tmp_path: Path) -> None:
    """A GPU is hardly filled by one batch, and takes several at once as long as nothing holds it back."""
    roots = Roots(tmp_path, tmp_path / "state", tmp_path / "logs")
    order = replace(ORDER, settings={**ORDER.settings, "prescreen": {"combos": 100_000, "batch_combos": 16_384}})
    launch: Launch = replace(worker(job("prescreen")).launch, gpu="GPU-aaa", ooms=ooms)
    nobody: Any = None
    assert LaneContext(launch, roots, order, nobody).held == held


def test_records_of_before_have_no_gpu() -> None:
    """Launch records that an earlier version wrote are read as they were meant."""
    from state.files.tree import record_of

    tree = json.loads(json.dumps(tree_of(worker().launch)))
    del tree["gpu"]
    assert record_of(Launch, tree).gpu == ""
