"""`status`: what runs and how far it is, as a page or as one JSON object (`status.schema.json`)."""

import argparse
import json
from datetime import datetime
from typing import Any

from agents import session_state_manager as continuity
from agents.machine.observe import observe, resolved
from agents.machine.sessions import Tmux
from agents.runtime.world import AgentView, Worker, World
from config.settings import SwarmSettings
from state import snapshot
from state.jobs import PHASES, STATUSES, JobState
from state.layout import Roots

# Share of a unit's work that each phase is, for one bar over all of them (measured on two years of bars).
_WEIGHTS = {"preflight": 4, "prescreen": 60, "merge": 1, "search": 20, "validate": 14, "report": 1}

_GUESS_FROM = 8.0  # percent; before it a guess of the rest is worth nothing


def main(argv: list[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="backtest-optimize status",
        description="What runs, how far it is, and what is wrong, if anything.",
        epilog="example:\n  scripts/backtest-optimize status --json\n\nexit code: 0",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    schema = "docs/reference/schemas/status.schema.json"
    parser.add_argument("--json", action="store_true", help=f"one object; its schema: {schema}")
    asked = parser.parse_args(argv)
    roots = Roots.from_environment()
    now = build(roots)
    if asked.json:
        print(json.dumps(now, indent=2))
        return 0
    from rich.console import Console

    from scripts.swarm.show import page

    Console().print(page(now))
    return 0


def build(roots: Roots) -> dict[str, Any]:
    """The object, from files and /proc alone: it answers whatever state tmux and the agents are in."""
    limits = resolved(roots).swarm
    world = observe(roots, limits)
    found = continuity.incidents(world, limits)
    never = all(view.loop_life == "unknown" for view in world.agents)  # nobody ever started a swarm here
    found = [] if never else found
    return {
        "run_id": world.run_id or None,
        "stage": continuity.stage(world),
        "round": None if world.round < 0 else world.round,
        "rounds": None if world.order is None or world.order.rounds == 0 else world.order.rounds,
        **_times(world),
        "units": [_unit(unit, world) for unit in (() if world.order is None else world.order.units)],
        "agents": [_agent(view, roots, limits) for view in world.agents],
        "workers": [_worker(worker) for worker in world.workers],
        "healed": _healed(world),
        "jobs": {status: sum(state.status == status for state in world.jobs) for status in STATUSES},
        "operations": [_operation(state, world) for state in world.jobs if state.status != "completed"],
        "utilisation": {
            "cpu_pct": None if world.stopped else world.control.get("cpu_pct"),
            "gpu_pct": None if world.stopped else world.control.get("gpu_pct"),
            "targets": {"cpu_pct": limits.cpu_target_pct, "gpu_pct": limits.gpu_target_pct},
        },
        "incidents": [one.as_json() for one in found],
        "next_steps": continuity.next_steps(world, found),
        "lanes": len(world.lanes),
        "attach": _attach(roots, limits),
        "results_root": str(roots.results),
    }


def failures(roots: Roots) -> dict[str, str]:
    """Unit → why it failed, of the run that is complete; empty when all went well."""
    from state import orders

    order = orders.current(roots)
    record = None if order is None else snapshot.read_json(roots.swarm_run(order.run_id).finished)
    return dict(record.get("failed", {})) if isinstance(record, dict) else {}


def _agent(view: AgentView, roots: Roots, limits: SwarmSettings) -> dict[str, Any]:
    state = snapshot.read_json(roots.agent_state(view.agent))
    return {
        "name": view.agent,
        "session": view.session,
        "last_cycle_at": state.get("at") if isinstance(state, dict) else None,
        "age_s": view.age_s,
        "fresh": view.age_s is not None and not view.is_stale(limits),
    }


def _times(world: World) -> dict[str, float | None]:
    """How long the run has gone on, and about how long its round still takes (as if it went on as it did)."""
    order = world.order
    if order is None or world.run_finished or world.stopped:
        return {"elapsed_s": None, "eta_s": None}
    now = datetime.fromisoformat(world.now)
    elapsed_s = round((now - datetime.fromisoformat(order.started_at)).total_seconds(), 1)
    shares = [_percent([s for s in world.jobs if s.job.unit == unit], world) for unit in order.units]
    done = sum(shares) / max(1, len(shares))
    if not world.round_began or done < _GUESS_FROM:
        return {"elapsed_s": elapsed_s, "eta_s": None}
    round_s = (now - datetime.fromisoformat(world.round_began)).total_seconds()
    return {"elapsed_s": elapsed_s, "eta_s": round(round_s * (100 - done) / done, 1)}


def _healed(world: World) -> dict[str, Any]:
    died = [one for one in world.last_deaths if one.get("event") == "died"]
    last = "" if not died else f"{died[-1]['job_id']}, {died[-1]['error_message']}, {died[-1]['at'][11:19]} UTC"
    return {"deaths": len(died), "last": last or None}


def _worker(worker: Worker) -> dict[str, Any]:
    job = worker.launch.job
    ended = worker.exit is not None and worker.exit.code == 0
    return {
        "id": worker.launch.worker_id,
        "pid": worker.pid,
        "job": job.job_id,
        "symbol": job.symbol,
        "mode": job.mode,
        "lane": worker.launch.lane,
        "state": "ended" if ended else worker.life,
        "phase": job.phase,
        "done": worker.done,
        "total": worker.total,
        "rate_per_s": worker.rate_per_s,
        "note": worker.note,
        "last_progress_age_s": worker.silent_s,
    }


def _operation(state: JobState, world: World) -> dict[str, Any]:
    workers = world.workers_of(state.job.job_id)
    return state.as_operation(workers[0].done if workers else state.last_done, workers[0].total if workers else 0)


def _unit(unit: tuple[str, str], world: World) -> dict[str, Any]:
    states = [state for state in world.jobs if state.job.unit == unit]
    bad = next((s for s in states if s.is_over and s.status != "completed"), None)
    reported = any(s.job.phase == "report" and s.status == "completed" for s in states)
    phases = [s.job.phase for s in states]
    phase = max(phases, key=PHASES.index) if phases else "waiting"
    mine = [w for w in world.workers if w.launch.job.unit == unit and w.launch.job.phase == phase]
    why = world.dropped.get(" ".join(unit))
    if why is not None:
        return {"symbol": unit[0], "mode": unit[1], "phase": "failed", "percent": 0.0, "workers": 0, "note": why}
    if phase != "waiting" and not mine and not world.stopped and any(not s.is_over for s in states):
        phase_word = f"{phase} (queued)"
    else:
        phase_word = phase
    return {
        "symbol": unit[0],
        "mode": unit[1],
        "phase": "complete" if reported else bad.status if bad is not None else phase_word,
        "percent": 100.0 if reported else round(_percent(states, world), 1),
        "workers": sum(w.launch.job.unit == unit for w in world.workers),
        "note": bad.error_message if bad is not None else _note(phase, states, mine, world),
    }


def _note(phase: str, states: list[JobState], mine: list[Worker], world: World) -> str:
    """What is worth knowing right now, over all workers of the unit."""
    if phase == "prescreen" and mine and world.order is not None:
        done = sum(s.metrics.get("tried", 0) for s in states if s.status == "completed") + sum(w.done for w in mine)
        rate = sum(w.rate_per_s or 0.0 for w in mine)
        return f"{done:,}/{world.order.settings['prescreen']['combos']:,} · {rate:,.0f}/s"
    return next((w.note for w in mine if w.note and w.note != "starting"), "")


def _percent(states: list[JobState], world: World) -> float:
    if any(s.job.phase == "report" and s.status == "completed" for s in states):
        return 100.0
    return sum(_share(phase, states, world) for phase in PHASES)


def _share(phase: str, states: list[JobState], world: World) -> float:
    """How much of a unit's work this phase has contributed, in percent of the whole."""
    mine = [state for state in states if state.job.phase == phase]
    if not mine:
        return 0.0
    done = 0.0
    for state in mine:
        if state.status == "completed":
            done += 1
        else:
            done += max((w.done / w.total for w in world.workers_of(state.job.job_id) if w.total), default=0.0)
    return _WEIGHTS[phase] * done / len(mine)


def _attach(roots: Roots, limits: SwarmSettings) -> str:
    server = Tmux.of(roots, limits.tmux_timeout_s).server
    folder = "" if server.folder == "/tmp" else f"TMUX_TMPDIR={server.folder} "
    return f"{folder}tmux -L {server.label} attach -r -t =bt-worker-progress"
