"""Small worlds to decide on."""

from dataclasses import replace
from typing import Any

from agents.model.world import (
    AgentView,
    Lane,
    SessionView,
    Worker,
    World,
)
from config.settings import load
from config.swarm import SwarmSettings
from state.host.identity import boot_id
from state.records.jobs import Job, JobState
from state.records.orders import SwarmOrder
from state.records.workers import Exit, Launch, Result

LIMITS: SwarmSettings = load({}).swarm
ORDER = SwarmOrder(
    run_id="bt-1",
    key="k",
    symbols=("SOL", "BTC"),
    modes=("aggressive",),
    rounds=1,
    data_path="data",
    engine="auto",
    repair=False,
    started_at="2026-01-01T00:00:00.000Z",
    settings={
        "prescreen": {"combos": 50_000, "batch_combos": 2048},
        "search": {"processes": 0, "batch_trials": 16},
    },
)


def job(phase: Any = "prescreen", symbol: str = "SOL", shard: int = 0, shards: int = 1, round_: int = 0) -> Job:
    return Job(round_, symbol, "aggressive", phase, shard, shards)


def state(of: Job | None = None, **values: Any) -> JobState:
    return JobState(of or job(), **values)


def worker(of: Job | None = None, epoch: int = 1, lane: str = "cpu0", life: str = "running", **values: Any) -> Worker:
    one = of or job()
    launch = Launch(
        worker_id=f"{one.job_id}.e{epoch}",
        run_id="bt-1",
        job=one,
        epoch=epoch,
        nonce="n",
        lane=lane,
        cores=1,
        launched_at="",
        launched_at_s=0.0,
        boot_id=boot_id(),
    )
    filled = {"age_s": 20.0, "silent_s": 1.0, "done": 10, "total": 100} | values
    return Worker(launch, life, **filled)


def running(of: Job | None = None, **values: Any) -> JobState:
    one = of or job()
    filled = {"epoch": 1, "worker_id": f"{one.job_id}.e1", "lane": "cpu0"} | values
    return JobState(one, "running", **filled)


def agent(name: str, session: str, **values: Any) -> AgentView:
    filled = {
        "cadence_s": 15.0,
        "age_s": 3.0,
        "session_age_s": 900.0,
        "loop_age_s": 899.0,
        "loop_life": "running",
        "cycle": 9,
    } | values
    return AgentView(name, session, **filled)


def world(**values: Any) -> World:
    filled = {
        "now": "2026-01-01T01:00:00.000Z",
        "now_s": 10_000.0,
        "boot_id": boot_id(),
        "stopped": False,
        "lanes": (Lane("cpu0", 1), Lane("cpu1", 1)),
        "order": ORDER,
        "round": 0,
        "disk_free_bytes": 10**12,
    }
    return World(**(filled | values))


def died(one: Worker, code: int | None = None, signal: int | None = None, oom: bool = False) -> Worker:
    return replace(one, life="dead", exit=Exit(one.launch.worker_id, code, signal, oom))


def done(one: Worker, status: Any = "completed", error: str = "") -> Worker:
    result = Result(one.launch.job.job_id, one.launch.epoch, status, error, {"tried": 1})
    return replace(died(one, code=0 if status == "completed" else 1), result=result)


def session(name: str, alive: bool = True) -> SessionView:
    return SessionView(name, alive, "root")
