"""`status`: what runs, why, how far it is and what is next, as a page or as one JSON object (`status.schema.json`)."""

from datetime import datetime
from typing import Any

from agents import session_state_manager as continuity
from agents.machine.observe import limits_of, observe
from agents.machine.sessions import Tmux
from agents.runtime.world import AgentView, World
from config.swarm import SwarmSettings
from scripts.swarm import cli, idle, records, units
from state import snapshot
from state.jobs import PHASES, STATUSES
from state.layout import Roots

_BY_STOP = "stopped by the operator"
_GUESS_FROM = 8.0  # percent; before it a guess of the rest is worth nothing


def main(argv: list[str]) -> int:
    """The command."""
    parser = cli.parser(
        "backtest-optimize status",
        "What runs, why, how far it is, what every device does or waits for, and what is wrong, if anything.",
        "scripts/backtest-optimize status --json",
        "0 answered, 2 usage",
        "one object; its schema: docs/reference/schemas/status.schema.json",
    )
    asked = parser.parse_args(argv)
    roots = Roots.from_environment()
    now = build(roots)
    if asked.json:
        cli.say(now)
        return 0
    from rich.console import Console

    from scripts.swarm.show import page

    console = Console()
    if console.is_terminal:
        console.print(page(now, console.width))
    else:
        console.print(page(now), soft_wrap=True)
    return 0


def build(roots: Roots) -> dict[str, Any]:
    """The object, from files and /proc alone: it answers whatever state tmux and the agents are in."""
    limits = limits_of(roots)
    world = observe(roots, limits, {"hooks"})
    found = continuity.incidents(world, limits)
    never = all(view.loop_life == "unknown" for view in world.agents)  # nobody ever started a swarm here
    found = [] if never else found
    return {
        "at": world.now,
        "run_id": world.run_id or None,
        "stage": continuity.stage(world),
        "stage_since": stage_since(roots, world),
        "why": why(roots, world),
        "round": None if world.round < 0 else world.round,
        "rounds": None if world.order is None or world.order.rounds == 0 else world.order.rounds,
        **_times(world),
        "units": [units.unit(unit, world) for unit in (() if world.order is None else world.order.units)],
        "agents": [_agent(view, roots, limits) for view in world.agents],
        "workers": [units.worker(worker, limits) for worker in world.workers],
        "healed": _healed(world),
        "jobs": {status: sum(state.status == status for state in world.jobs) for status in STATUSES},
        "operations": units.operations(world, limits),
        "utilisation": {
            "cpu_pct": None if world.stopped else world.control.get("cpu_pct"),
            "gpu_pct": None if world.stopped else world.control.get("gpu_pct"),
            "targets": {"cpu_pct": limits.cpu_target_pct, "gpu_pct": limits.gpu_target_pct},
        },
        "devices": [device.as_json() for device in idle.devices(world, limits)],
        "disk": _disk(world, limits),
        "scores": _scores(world),
        "incidents": [one.as_json() for one in found],
        "next_steps": continuity.next_steps(world, found),
        "next": _next(world),
        "lanes": len(world.lanes),
        "attach": _attach(roots, limits),
        "results_root": str(roots.results),
    }


def stage_since(roots: Roots, world: World) -> str | None:
    """Since when the run stands where it stands; None when nobody wrote that down."""
    here = continuity.stage(world)
    if here == "stopped":
        return _at(snapshot.read_json(roots.tombstone), "at")
    if here == "complete" and world.order is not None:
        return _at(snapshot.read_json(roots.swarm_run(world.run_id).finished), "finished_at")
    return _enqueued_at(roots, world, here) or _told_at(roots, world, here)


def _enqueued_at(roots: Roots, world: World, phase: str) -> str | None:
    """When the last of this round's jobs of that phase was enqueued: then nobody was left before it."""
    if phase not in PHASES or world.round < 0:
        return None
    path = roots.swarm_run(world.run_id).round(world.round).jobs
    return _at(records.last_with(path, ('"event":"enqueued"', f'"phase":"{phase}"', '"hand":false')), "at")


def _told_at(roots: Roots, world: World, stage: str) -> str | None:
    """What session_state_manager said last, if it was of this stage: one of an earlier round is another's beginning."""
    told = records.last_with(roots.session_events, ('"event":"stage"',)) or {}
    at = _at(told, "at")
    is_this = (told.get("stage"), told.get("run_id")) == (stage, world.run_id)
    return at if is_this and at is not None and at >= world.round_began else None


def why(roots: Roots, world: World) -> str:
    """Why what runs runs, and why nothing does where nothing does: in the words of who decided it."""
    if world.stopped:
        record = snapshot.read_json(roots.tombstone)
        by = record.get("by") if isinstance(record, dict) else None
        return f"stopped by {by or 'the operator'}"
    if world.order is None:
        return "there is no run; scripts/backtest-optimize --parallel starts one"
    over = snapshot.read_json(roots.swarm_run(world.run_id).finished) if world.run_finished else None
    if isinstance(over, dict) and isinstance(over.get("why"), str):
        return f"auto_scheduler: the run is complete: {over['why']}"
    agent = "auto_scheduler" if world.run_finished else "worker_sentry"
    state = snapshot.read_json(roots.agent_state(agent))
    reason = state.get("reason") if isinstance(state, dict) else None
    return f"{agent}: {reason}" if reason else f"{agent} has not cycled yet"


def _at(record: Any, key: str) -> str | None:
    moment = record.get(key) if isinstance(record, dict) else None
    return moment if isinstance(moment, str) else None


def failures(roots: Roots) -> dict[str, str]:
    """Unit → why it failed, of the run that is complete; empty when all went well."""
    from state import orders

    order = orders.current(roots)
    record = None if order is None else snapshot.read_json(roots.swarm_run(order.run_id).finished)
    return dict(record.get("failed", {})) if isinstance(record, dict) else {}


def _next(world: World) -> str:
    """What the swarm itself does next, without anybody's doing."""
    open_phases = [state.job.phase for state in world.jobs if not state.is_over]
    if world.stopped or world.run_finished or world.order is None or not open_phases:
        return ""
    here = min(open_phases, key=PHASES.index)
    later = ", ".join(PHASES[PHASES.index(here) + 1 :])
    goes_on = world.order.rounds == 0 or world.round + 1 < world.order.rounds
    after = f"round {world.round + 2}" if goes_on else "the run is complete"
    return f"{later}, then {after}" if later else after


def _agent(view: AgentView, roots: Roots, limits: SwarmSettings) -> dict[str, Any]:
    state = snapshot.read_json(roots.agent_state(view.agent))
    return {
        "name": view.agent,
        "session": view.session,
        "last_cycle_at": state.get("at") if isinstance(state, dict) else None,
        "age_s": view.age_s,
        "fresh": view.age_s is not None and not view.is_stale(limits),
        "reason": str(state.get("reason", "")) if isinstance(state, dict) else "",
    }


def _times(world: World) -> dict[str, float | None]:
    """How long the run has gone on, and about how long its round still takes (as if it went on as it did)."""
    order = world.order
    if order is None or world.run_finished or world.stopped:
        return {"elapsed_s": None, "eta_s": None}
    now = datetime.fromisoformat(world.now)
    elapsed_s = round((now - datetime.fromisoformat(order.started_at)).total_seconds(), 1)
    shares = [units.percent([s for s in world.jobs if s.job.unit == unit], world) for unit in order.units]
    done = sum(shares) / max(1, len(shares))
    if not world.round_began or done < _GUESS_FROM:
        return {"elapsed_s": elapsed_s, "eta_s": None}
    round_s = (now - datetime.fromisoformat(world.round_began)).total_seconds()
    return {"elapsed_s": elapsed_s, "eta_s": round(round_s * (100 - done) / done, 1)}


def _disk(world: World, limits: SwarmSettings) -> dict[str, Any]:
    """What is free, and when it is gone if it goes on as it did (the watchdog's forecast)."""
    return {
        "free_bytes": world.disk_free_bytes,
        "wanted_bytes": limits.min_free_mb * 1_000_000,
        "bytes_per_day": world.control.get("disk_bytes_per_day"),
        "full_in_days": world.control.get("disk_full_in_days"),
    }


def _scores(world: World) -> dict[str, float]:
    """How orchestration_consensus rates the run: every number it reports, or those under `scores`."""
    report = world.reports.get("orchestration_consensus", {})
    scores = report.get("scores", report)
    rows = scores.items() if isinstance(scores, dict) else ()
    return {name: value for name, value in rows if isinstance(value, int | float) and not isinstance(value, bool)}


def _healed(world: World) -> dict[str, Any]:
    # One that the operator's stop ended was not replaced by anybody.
    died = [o for o in world.last_deaths if o.get("event") == "died" and o.get("error_message") != _BY_STOP]
    last = "" if not died else f"{died[-1]['job_id']}, {died[-1]['error_message']}, {died[-1]['at'][11:19]} UTC"
    return {"deaths": len(died), "last": last or None}


def _attach(roots: Roots, limits: SwarmSettings) -> str:
    server = Tmux.of(roots, limits.tmux_timeout_s).server
    folder = "" if server.folder == "/tmp" else f"TMUX_TMPDIR={server.folder} "
    return f"{folder}tmux -L {server.label} attach -r -t =bt-worker-progress"
