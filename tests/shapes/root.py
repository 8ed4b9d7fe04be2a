"""A state root with every kind of record in it, each as the product writes it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agents.machine import keeper
from agents.machine.gpus import Cards, Question
from agents.machine.observe import limits_of
from agents.registry import at_work
from agents.runtime import cycle
from config.record import replace
from state.files import snapshot
from state.files.journal import Journal
from state.files.layout import Roots
from state.files.tree import record_of, tree_of
from state.host import identity
from state.host.clock import stamp
from state.records import healing, request
from state.records.agent_states import Deed
from state.records.jobs import Job
from state.records.report_parts import Gpu
from state.records.screening import Screening
from state.records.server import Server
from state.records.workers import Exit, Result
from tests.agents.yard import Yard, yard

GPU = {
    "index": 0,
    "uuid": "GPU-1",
    "name": "card",
    "utilisation_pct": 40.0,
    "memory_used_mb": 1,
    "memory_total_mb": 2,
    "uncorrected_errors": 0,
    "mig": False,
    "pids": [1],
    "foreign_pids": [],
}
FINDING = {"id": "state_root", "what": "it can be written by others", "remedy": "chmod go-w"}
HOLDOUT = {
    "used_up": True,
    "looks": 3,
    "days": 200,
    "needed_sharpe": 2.5,
    "best_sharpe": 1.0,
    "best_shape": {"sharpe": 0.1},
    "free_from": "2026-03-01",
    "way_out": "bring bars up to 2026-03-01",
}
GATE = {"gate": "merge", "passed": False, "path": "/a/hook", "reason": "it failed", "fix": "chmod +x"}
BEST = {
    "in_sample": {"sharpe_ratio": 1.0, "total_trades": 10},
    "out_of_sample": {"sharpe_ratio": 0.5, "total_trades": 5},
    "verdict": "no candidate",
    "candidate": False,
}
REPORTS: dict[str, dict[str, Any]] = {  # what a calm root would leave out
    "watchdog": {
        "cpu_pct": 50.0,
        "gpu_pct": 40.0,
        "gpus": [GPU],
        "findings": [FINDING],
        "memory_used_bytes": 10,
        "memory_total_bytes": 100,
        "cores": 2,
        "throttled_pct": 1.0,
        "disk_bytes_per_day": 10,
        "disk_full_in_days": 3.5,
        "sessions": ["bt-watchdog"],
        "host_starved": False,
        "records_looked_s": 1.0,
    },
    "worker_sentry": {
        "quarantined_lanes": {"cpu1": "only jobs on this lane died"},
        "survivors": [],
        "storm": "3 of 3 workers died at once",
        "waits": "2 jobs wait for a lane",
        "slow_prescreens": {
            "r0.SOL.aggressive.prescreen.0": {
                "worker_id": "r0.SOL.aggressive.prescreen.0.e1",
                "kind": "cpu 1m",
                "what": "it is slow",
                "cause": "oversubscribed",
                "remedy": "fewer lanes",
                "replace": False,
            }
        },
    },
    "budget_guard": {"over_budget": True, "over": ["2 h of work in this run, 1 are allowed"]},
}


@contextmanager
def filled() -> Iterator[Yard]:
    """The root, with two workers at work (stand-ins that wait) and one that has ended."""
    with yard(lanes={"count": 2}) as place:
        _run(place)
        _surroundings(place)
        for row in at_work(limits_of(place.roots)):
            for _ in range(2):
                _cycled(row.name, place)
            _enrich(row.name, place.roots)
        yield place


def records(roots: Roots) -> list[Path]:
    """Every record below the root, in the same order each time."""
    found = [path for path in roots.results.rglob("*") if path.suffix in (".json", ".jsonl", ".log") and path.is_file()]
    return sorted(found)


def _run(place: Yard) -> None:
    roots, folder = place.roots, place.roots.swarm_run("bt-1")
    first, second = place.enqueued("prescreen", shards=2), place.enqueued("prescreen", shard=1, shards=2)
    third, fourth = place.enqueued("preflight", "BTC"), place.enqueued("search", "BTC")
    place.enqueued("validate", "ETH")
    place.worker(first)
    launch, _, pulse = place.worker(second)
    pulse.screens(Screening("cpu 1m", "cpu", "breakout", 1000, 1, place.clock.monotonic_s()))
    pulse.write()
    snapshot.write_json(roots.exit(launch.worker_id), tree_of(Exit(launch.worker_id, 0, None)))
    result = Result(
        second.job_id,
        1,
        "completed",
        "",
        {"tried": 5, "pace": {"kind": "cpu 1m", "speed": 1.0, "seconds": 2.0}},
        (GATE,),
    )
    snapshot.write_json(folder.round(0).result(second.job_id), tree_of(result))
    place.jobs.died(first.job_id, "signal 9", 1, 5, 0.0)
    place.jobs.started(first.job_id, 1, f"{first.job_id}.e1", "cpu0")
    place.jobs.started(third.job_id, 1, "gone.e1.abcdef", "cpu1")
    place.jobs.completed(third.job_id, {"bars": 1000, "holdout": HOLDOUT}, [GATE])
    place.jobs.ended(fourth.job_id, "failed", "the data are gone", [GATE])
    validate = Job(0, "ETH", "aggressive", "validate")
    place.jobs.started(validate.job_id, 1, "gone.e1.abcdee", "cpu1")
    place.jobs.completed(validate.job_id, {"holdout": HOLDOUT}, [GATE])
    begun = {
        "at": stamp(place.clock.now()),
        "dropped": {"DOGE aggressive": "it failed"},
        "fills": {"SOL aggressive": [0]},
    }
    snapshot.write_json(folder.round(0).begun, {**begun, "holdouts": {"SOL aggressive": HOLDOUT}, "code": "abc"})
    unit = folder.round(0).unit("SOL", "aggressive")
    outcome = {
        "verdict": "no candidate",
        "synthetic": True,
        "bests": {"best_sharpe": BEST},
        "symbol": "SOL",
        "mode": "aggressive",
    }
    snapshot.write_json(unit.outcome, outcome)
    snapshot.write_json(unit.carried, {"tries": 100})


def _surroundings(place: Yard) -> None:
    roots, clock, me = place.roots, place.clock, identity.mine()
    now_s = clock.monotonic_s()
    server = Server(
        "bt-x", str(roots.results), None, ("bt-watchdog",), {"swarm_control_state.json": 60.0}, {"bt-watchdog": now_s},
        {"bt-watchdog": (now_s, 1)},
    )  # fmt: skip
    snapshot.write_json(roots.swarm, tree_of(server))
    kept = keeper.Keeper("process", {"LOGS_ROOT": str(roots.logs)}, "python", 60.0, stamp(clock.now()), identity=me)
    snapshot.write_json(roots.keeper, tree_of(kept))
    snapshot.write_json(roots.launch_holder, tree_of(me))
    snapshot.write_json(roots.notified, {str(roots.settings): {"fault": "it failed", "fix": "x", "changed_ns": 1}})
    question = Question("n" * 32, now_s, me, "answered", Cards((record_of(Gpu, GPU),), ""))
    snapshot.write_json(roots.gpu_question, tree_of(question))
    snapshot.write_json(roots.gpu_answer, {"question": "n" * 32, "gpus": [GPU]})
    for kind in ("cancel_job", "ensure_sessions", "add_findings"):
        request.ask(roots.requests, clock, kind, "r0.SOL.aggressive.prescreen.0", "somebody", {"findings": ["a"]})
    asked = request.ask(roots.requests, clock, "cancel_job", "x", "somebody", {})
    request.answer(roots.requests, asked.request_id, False, "no such job", clock)
    for name in at_work(limits_of(roots)):
        snapshot.write_json(roots.loop(name.name), {"identity": tree_of(me), "began_s": now_s, "code_problem": "old"})
    failed = healing.failure("agent_died", "curator", "its loop was killed", stamp(clock.now()), session="bt-curator")
    remedy = healing.remedy("agent_respawned", "curator", "operation_hang_guard", "it was dead", 3.0)
    healing.record(roots, clock, [failed, remedy], 1_000_000)
    died = {"event": "died", "job_id": "r0.SOL.aggressive.prescreen.0", "at": stamp(clock.now()), "what": "x"}
    Journal(roots.events).append({**died, "error_message": "signal 9"}, {"event": "found", **FINDING})
    Journal(roots.session_events).append({"event": "incident_opened", "at": stamp(clock.now()), **FINDING})
    Journal(roots.hypotheses).append({"id": "bt-1/0/SOL/aggressive", "event": "stated"})
    Journal(roots.session_log("bt-1")).append({"run_id": "bt-1", "at": stamp(clock.now()), "stage": "prescreen"})
    failures = roots.knowledge(limits_of(roots).records.knowledge_folder).failures
    snapshot.write_json(failures, [{"signature": "abc", "last_event": "def", "count": 1, "examples": [{"at": "x"}]}])


def _cycled(name: str, place: Yard) -> None:
    """A cycle that decides and records, as every cycle does, and whose actions nobody carries out."""
    from agents.registry import row

    roots, clock, limits = place.roots, place.clock, limits_of(place.roots)
    agent = row(name).load()
    sees = agent.sees - {"sample", "sessions"}  # those ask programs outside
    state = cycle._read(roots, name).state
    world = cycle.observe(roots, limits, sees, clock)
    decision = agent.decide(world, cycle._memory(agent, state), limits)
    said = (Deed(a.kind, a.target, a.expected, "done", world.now) for a in decision.actions)
    number = state.cycle + 1
    cycle._journal(roots, name, number, state, world, cycle._memory(agent, state), limits, decision, agent.routine)
    cycle._record(
        roots, name, number, clock, state, replace(decision), tuple(said), cycle._verified(state, agent, world)
    )


def _enrich(name: str, roots: Roots) -> None:
    path = roots.agent_state(name)
    state = snapshot.read_json(path)
    assert isinstance(state, dict)
    snapshot.write_json(path, {**state, "report": {**state["report"], **REPORTS.get(name, {})}})
