"""Small worlds to decide on."""

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from functools import cache
from typing import Any, get_args, get_origin

from agents.model.world import (
    AgentView,
    Control,
    Lane,
    SessionView,
    Worker,
    World,
)
from config.settings import Settings, load, with_values
from config.swarm import SwarmSettings
from state.files.tree import record_of
from state.host.identity import boot_id
from state.records.jobs import Job, JobState
from state.records.orders import SwarmOrder
from state.records.reports import Reports
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


def limits_with(**groups: Mapping[str, Any]) -> SwarmSettings:
    """The settings of the swarm with some values replaced, by group."""
    return with_values(_defaults(), swarm=groups).swarm


@cache
def _defaults() -> Settings:
    return load({})


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
    """A run of SOL and BTC with two free lanes; `control` and `reports` may be given as they stand in a file."""
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
    said = {name: sketch(kind, values[name]) for name, kind in _SAID.items() if name in values}
    return World(**(filled | values | said))


_SAID: dict[str, type[Any]] = {"control": Control, "reports": Reports}


def sketch(kind: Any, tree: Any) -> Any:
    """The record of `kind` in a tree that names only what matters; required fields that it leaves out are blank."""
    return record_of(kind, _whole(kind, tree)) if isinstance(tree, Mapping) else tree


def _whole(hint: Any, tree: Any) -> Any:
    if isinstance(tree, Mapping) and is_dataclass(hint):
        blanks = {one.name: _BLANK[one.type] for one in fields(hint) if one.type in _BLANK and _is_required(one)}
        return blanks | {one.name: _whole(one.type, tree[one.name]) for one in fields(hint) if one.name in tree}
    inner = next((one for one in get_args(hint) if one not in (str, Ellipsis, type(None))), None)
    if isinstance(tree, list | tuple):
        return [_whole(inner, one) for one in tree]
    if isinstance(tree, Mapping) and get_origin(hint) is dict:
        return {key: _whole(inner, one) for key, one in tree.items()}
    return _whole(inner, tree) if inner is not None and isinstance(tree, Mapping) else tree


_BLANK: dict[Any, Any] = {str: "", bool: False, tuple[str, ...]: ()}


def _is_required(one: Any) -> bool:
    return one.default is MISSING and one.default_factory is MISSING


def died(one: Worker, code: int | None = None, signal: int | None = None, oom: bool = False) -> Worker:
    return replace(one, life="dead", exit=Exit(one.launch.worker_id, code, signal, oom))


def done(one: Worker, status: Any = "completed", error: str = "") -> Worker:
    result = Result(one.launch.job.job_id, one.launch.epoch, status, error, {"tried": 1})
    return replace(died(one, code=0 if status == "completed" else 1), result=result)


def session(name: str, alive: bool = True) -> SessionView:
    return SessionView(name, alive, "root")
