"""The reason why a device is idle and a job waits, world by world."""

from dataclasses import replace
from typing import Any

import pytest

from agents.model.world import Lane
from agents.rules import idle
from agents.rules.idle import DeviceUse
from state.records.reports import Reports, SentryReport
from tests.agents.worlds import LIMITS, agent, job, limits_with, running, state, worker, world

SENTRY = agent("worker_sentry", "bt-worker-sentry")
CPU1 = Lane("cpu1", 1)


def why(**values: Any) -> str:
    """Why cpu1 is idle while cpu0 works."""
    filled = {"agents": (SENTRY,), "workers": (worker(),), "jobs": (running(),)} | values
    return idle.why_idle(CPU1, world(**filled), LIMITS)


def lane(name: str, **values: Any) -> DeviceUse:
    return next(one for one in idle.devices(world(**values), LIMITS) if one.name == name)


def test_the_operators_will_comes_before_everything() -> None:
    assert why(stopped=True, run_finished=True, disk_free_bytes=1) == "the operator stopped the swarm"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"order": None}, "there is no run"),
        ({"run_finished": True}, "the run is complete"),
        ({"agents": (replace(SENTRY, age_s=900.0),)}, "worker_sentry, which starts workers, does not cycle"),
        (
            {"disk_free_bytes": 5_000_000},
            "the disk is full: 5 MB are free, at least 2,000 are wanted before work starts",
        ),
        (
            {"disk_free_files": 7},
            "the disk is full: 7 more files can be made (inodes), at least 2,000 are wanted before work starts",
        ),
        (
            {"reports": {"worker_sentry": {"quarantined_lanes": {"cpu1": "survives SIGKILL"}}}},
            "the lane is quarantined: survives SIGKILL",
        ),
        (
            {"reports": {"util_controller": {"lanes": 1, "reason": "memory is short"}}},
            "util_controller wants 1 of 2 lanes busy: memory is short",
        ),
        (
            {"jobs": (running(), state(job(shard=1)))},
            "r0.SOL.aggressive.prescreen.1 starts here with the sentry's next cycle",
        ),
        (
            {"jobs": (running(), state(job(shard=1))), "reports": {"worker_sentry": {"waits": "the code has changed"}}},
            "r0.SOL.aggressive.prescreen.1 waits: the code has changed",
        ),
        (
            {
                "jobs": (running(), state(job(shard=1))),
                "reports": {"worker_sentry": {"waits": "1 jobs wait for a lane"}},
            },
            "r0.SOL.aggressive.prescreen.1 starts here with the sentry's next cycle",
        ),
        ({"jobs": (running(job("merge", shards=4)),)}, "no job is ready: merge of SOL aggressive runs alone"),
        (
            {"jobs": (running(job(shard=2, shards=9)), running(job(shard=3, shards=9)))},
            "no job is ready: the last 2 prescreen jobs of SOL aggressive run",
        ),
        (
            {"jobs": (running(job(shard=8, shards=9)),)},
            "no job is ready: the last prescreen job of SOL aggressive runs",
        ),
        (
            {"jobs": (state(status="completed"),)},
            "no job is ready: auto_scheduler enqueues what comes next in its next cycle",
        ),
    ],
)
def test_an_idle_lane_says_what_holds_it_up(values: dict[str, Any], reason: str) -> None:
    limits = limits_with(records={"min_free_mb": 2_000})
    filled = {"agents": (SENTRY,), "workers": (worker(),), "jobs": (running(),)} | values
    assert idle.why_idle(CPU1, world(**filled), limits) == reason


def test_a_backoff_names_its_job_its_end_and_why() -> None:
    waits = state(job(shard=1), retry_at_s=10_012.0, deaths=3, boot_id=world().boot_id)
    assert why(jobs=(running(), waits)) == (
        "backoff of job r0.SOL.aggressive.prescreen.1 until 01:00:12 UTC (12 s) after 3 deaths"
    )


def test_the_job_with_the_shortest_backoff_is_named() -> None:
    boot = world().boot_id
    late, soon = (
        state(job(shard=n), retry_at_s=at, deaths=1, boot_id=boot) for n, at in ((1, 10_090.0), (2, 10_005.0))
    )
    assert "prescreen.2 until 01:00:05 UTC (5 s) after a death" in why(jobs=(running(), late, soon))


def test_jobs_of_a_dead_unit_are_not_waited_for() -> None:
    failed = state(job(symbol="BTC"), status="failed")
    left = state(job(symbol="BTC", shard=1))
    assert why(jobs=(running(job("merge")), failed, left)) == "no job is ready: merge of SOL aggressive runs alone"


def test_fewer_lanes_wanted_is_no_reason_while_fewer_work() -> None:
    fewer = {"util_controller": {"lanes": 2, "reason": "x"}}
    assert why(reports=fewer, jobs=(running(job("merge")),)) == "no job is ready: merge of SOL aggressive runs alone"


def test_a_lane_whose_cores_another_worker_uses_is_lent_and_not_idle() -> None:
    one = worker(job("merge"))
    broad = replace(one, launch=replace(one.launch, cores=2))
    found = lane("cpu1", workers=(broad,), jobs=(running(job("merge")),), agents=(SENTRY,))
    assert (found.state, found.job) == ("lent", "r0.SOL.aggressive.merge.0")
    assert lane("cpu0", workers=(broad,), jobs=(running(job("merge")),), agents=(SENTRY,)).state == "busy"


def test_every_lane_has_a_line_and_every_idle_one_a_reason() -> None:
    found = idle.devices(world(control={"gpus": []}, agents=(SENTRY,)), LIMITS)
    assert [one.name for one in found] == ["cpu0", "cpu1", "gpu"]
    assert all(one.why for one in found)


# GPUs -----------------------------------------------------------------------------------------------------------------

BUSY_GPU = {"index": 0, "utilisation_pct": 80.0}


@pytest.mark.parametrize(
    ("control", "state_", "reason"),
    [
        ({}, "unknown", "the watchdog has not looked yet"),
        ({"gpus": None, "gpu_plan": "cpu_only"}, "unknown", "the driver gives no answer; no job is started on it"),
        ({"gpus": []}, "idle", "no GPU here: the plan is CPU only"),
        ({"gpus": [BUSY_GPU]}, "idle", "no lane uses it; other processes use 80 %"),
        ({"gpus": [{"index": 0, "utilisation_pct": None}]}, "idle", "no lane uses it"),
    ],
)
def test_a_gpu_says_why(control: dict[str, Any], state_: str, reason: str) -> None:
    (found,) = idle.gpus(world(control=control), LIMITS)
    assert (found.state, found.why) == (state_, reason)


def test_a_gpu_lane_is_judged_as_any_lane_and_named_busy_with_its_job() -> None:
    lanes = (Lane("cpu0", 1), Lane("gpu0", 1))
    one = worker(lane="gpu0")
    (busy,) = idle.gpus(world(lanes=lanes, workers=(one,), control={"gpus": [BUSY_GPU]}), LIMITS)
    assert (busy.state, busy.job, busy.busy_pct) == ("busy", one.launch.job.job_id, 80.0)
    (free,) = idle.gpus(world(lanes=lanes, run_finished=True, control={"gpus": [BUSY_GPU]}), LIMITS)
    assert (free.state, free.why) == ("idle", "the run is complete")


# jobs -----------------------------------------------------------------------------------------------------------------


def test_a_queued_job_says_how_many_come_first_later_phases_before_earlier() -> None:
    jobs = (running(), state(job(shard=1)), state(job(shard=2)), state(job("search", symbol="BTC")))
    two = (worker(), worker(job(shard=9), lane="cpu1"))
    busy = world(jobs=jobs, workers=two, agents=(SENTRY,))
    assert idle.why_waits(jobs[2], busy, LIMITS) == "all 2 lanes are busy, 2 jobs come first"
    assert idle.why_waits(jobs[3], busy, LIMITS) == "all 2 lanes are busy, it is the next"
    free = world(jobs=jobs, workers=two[:1], agents=(SENTRY,))
    assert idle.why_waits(jobs[3], free, LIMITS) == "the sentry starts it in its next cycle"
    waits = "2 jobs wait for a lane; 3 jobs wait for one of 2 GPUs"
    held = replace(free, reports=Reports(worker_sentry=SentryReport(waits=waits)))
    assert idle.why_waits(jobs[3], held, LIMITS) == "3 jobs wait for one of 2 GPUs"


def test_a_waiting_job_of_a_unit_that_failed_says_so() -> None:
    jobs = (state(job(), status="failed"), state(job(shard=1)))
    assert "SOL aggressive has ended" in idle.why_waits(jobs[1], world(jobs=jobs, agents=(SENTRY,)), LIMITS)
