"""`status`: what runs, why, how far it is and what is next, as a page or as one JSON object (`status.schema.json`)."""

import shlex
from datetime import datetime

from agents.machine.observe import limits_of, observe
from agents.machine.sessions import Tmux
from agents.model.world import AgentView, Control, World
from agents.roles import session_state_manager as continuity
from agents.rules import idle, progress
from config.errors import visible
from config.swarm import SwarmSettings
from scripts.swarm import cli, health, pace, units
from scripts.swarm.status_rows import AgentRow, DiskRow, ExpectationsRow, HealedRow, StatusRow, TimesRow
from state.files.layout import Roots
from state.host import command
from state.records import agent_states, orders
from state.records.jobs import PHASES, STATUSES
from state.records.report_parts import on_record
from state.records.timeline import Timeline

_BY_STOP = "stopped by the operator"


def main(argv: list[str]) -> int:
    """The command."""
    parser = command.parser(
        "backtest-optimize status",
        "What runs, why, how far it is, what every device does or waits for, and what is wrong, if anything.",
        "scripts/backtest-optimize status --json",
        "0 answered, 2 usage",
        "one object; its schema: docs/reference/schemas/status.schema.json",
    )
    asked = parser.parse_args(argv)
    roots = Roots.from_environment()
    cli.say_from_where(roots)
    now = build(roots)
    if asked.json:
        cli.say(now)
        return 0
    try:
        from rich.console import Console

        from scripts.swarm.show import page
    except ModuleNotFoundError:
        return _in_short(roots, now)
    console = Console()
    if console.is_terminal:
        console.print(page(now, console.width))
    else:
        console.print(page(now), soft_wrap=True)
    return 0


def _in_short(roots: Roots, now: StatusRow) -> int:
    """Where the virtual environment is missing, and with it what lays a page out: the run, and what `health` says."""
    _code, word, reasons = health.with_environment(*health.judge(roots))
    print(visible(f"{now['run_id'] or 'no run'} · {now['stage']}: {now['why']}"))
    print(visible(f"{word}{': ' if reasons else ''}{'; '.join(reasons)}"))
    return 0


def build(roots: Roots) -> StatusRow:
    """The object, from files and /proc alone: it answers whatever state tmux and the agents are in."""
    limits = limits_of(roots)
    world = observe(roots, limits, {"hooks", "faults"})
    found = continuity.incidents(world, limits)
    never = all(view.loop_life == "unknown" for view in world.agents)  # nobody ever started a swarm here
    found = [] if never else found
    line = pace.timeline(roots, world)
    fresh = {view.agent for view in world.agents if not view.is_wanting(limits)}
    control = world.control if "watchdog" in fresh and not world.stopped else Control()
    is_judged = "orchestration_consensus" in fresh and not (world.stopped or world.run_finished)
    return {
        "at": world.now,
        "run_id": world.run_id or None,
        "stage": continuity.stage(world),
        "stage_since": stage_since(roots, world, line),
        "why": why(roots, world, limits),
        "round": None if world.round < 0 else world.round,
        "rounds": None if world.order is None or world.order.rounds == 0 else world.order.rounds,
        **_times(roots, world, line),
        "units": [units.unit(unit, world, line) for unit in (() if world.order is None else world.order.units)],
        "agents": [_agent(view, roots, limits) for view in world.agents],
        "workers": [units.worker(worker, limits) for worker in world.workers],
        "healed": _healed(world),
        "jobs": {status: sum(state.status == status for state in world.jobs) for status in STATUSES},
        "operations": units.operations(world, limits),
        "utilisation": {
            "cpu_pct": control.cpu_pct,
            "gpu_pct": control.gpu_pct,
            "targets": {"cpu_pct": limits.use.cpu_target_pct, "gpu_pct": limits.use.gpu_target_pct},
        },
        "devices": [device.as_json() for device in idle.devices(world, limits)],
        "disk": _disk(world, limits),
        "scores": _scores(world) if is_judged else {},
        "expectations": _expectations(world) if is_judged else None,
        "incidents": [one.as_json() for one in found],
        "next_steps": [on_record(one) for one in continuity.next_steps(world, found)],
        "next": _next(world),
        "lanes": len(world.lanes),
        "attach": _attach(roots, limits),
        "results_root": str(roots.results),
    }


def stage_since(roots: Roots, world: World, line: Timeline) -> str | None:
    """Since when the run stands where it stands; None when nobody wrote that down.

    Of a run under way: when a symbol and mode last began something else.
    """
    here = continuity.stage(world)
    if here == "stopped":
        return orders.stopped(roots).at
    if world.order is None:
        return None
    if here == "complete":
        return orders.finished(roots.swarm_run(world.run_id)).finished_at or None
    moments = [progress.since(unit, world, line) for unit in world.order.units]
    return max((one for one in moments if one is not None), default=None)


def why(roots: Roots, world: World, limits: SwarmSettings) -> str:
    """Why what runs runs, and why nothing does where nothing does: in the words of who decided it."""
    if world.stopped:
        return f"stopped by {orders.stopped(roots).by or 'the operator'}"
    if world.order is None:
        return "there is no run; scripts/backtest-optimize --parallel starts one"
    if world.run_finished and (over := orders.finished(roots.swarm_run(world.run_id)).why):
        return f"auto_scheduler: the run is complete: {over}"
    agent = "auto_scheduler" if world.run_finished else "worker_sentry"
    reason = agent_states.read(roots, agent).state.reason
    view = next((one for one in world.agents if one.agent == agent), None)
    late = view is not None and view.is_wanting(limits) and view.age_s is not None
    ago = f", {view.age_s:.0f} s ago" if view is not None and late else ""
    return f"{agent}{ago}: {reason}" if reason else f"{agent} has not cycled yet"


def failures(roots: Roots) -> dict[str, str]:
    """Unit → why it failed, of the run that is complete; empty when all went well."""
    order = orders.current(roots)
    return {} if order is None else orders.finished(roots.swarm_run(order.run_id)).failed


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


def _agent(view: AgentView, roots: Roots, limits: SwarmSettings) -> AgentRow:
    state = agent_states.read(roots, view.agent).state
    return {
        "name": view.agent,
        "session": view.session,
        "last_cycle_at": state.at or None,
        "age_s": view.age_s,
        "fresh": view.age_s is not None and not view.is_wanting(limits),
        "reason": state.reason,
    }


def _times(roots: Roots, world: World, line: Timeline) -> TimesRow:
    """How long the run has gone on, and about how long it still takes (its round, where rounds go on until stop)."""
    order = world.order
    if order is None or world.run_finished or world.stopped:
        return {"began_at": None, "elapsed_s": None, "eta_s": None}
    passed = datetime.fromisoformat(world.now) - datetime.fromisoformat(order.started_at)
    band = pace.left(roots, world, line)
    return {
        "began_at": order.started_at,
        "elapsed_s": round(passed.total_seconds(), 1),
        "eta_s": None if band is None else band.as_json(),
    }


def _disk(world: World, limits: SwarmSettings) -> DiskRow:
    """What is free, and when it is gone if it goes on as it did (the watchdog's forecast)."""
    return {
        "free_bytes": world.disk_free_bytes,
        "wanted_bytes": limits.records.min_free_mb * 1_000_000,
        "bytes_per_day": world.control.disk_bytes_per_day,
        "full_in_days": world.control.disk_full_in_days,
    }


def _scores(world: World) -> dict[str, float]:
    """How orchestration_consensus rates the run: those of its scores that are known."""
    told = world.reports.orchestration_consensus
    scores = {"deviation": told.deviation, "performance": told.performance, "efficiency": told.efficiency}
    return {name: score for name, score in scores.items() if score is not None}


def _expectations(world: World) -> ExpectationsRow | None:
    """How much is expected to be so, what of it is not, and how much of the work only repeats what deaths had cost."""
    told = world.reports.orchestration_consensus.signals
    if told.expectations is None:
        return None
    return {
        "of": told.expectations,
        "broken": list(told.broken),
        "repeated_pct": None if told.useful_pct is None else 100.0 - told.useful_pct,
    }


def _healed(world: World) -> HealedRow:
    # One that the operator's stop ended was not replaced by anybody.
    died = [o for o in world.last_deaths if o.get("event") == "died" and o.get("error_message") != _BY_STOP]
    one = died[-1] if died else {}
    last = ", ".join([one["job_id"], one.get("error_message", ""), f"{one.get('at', '')[11:19]} UTC"]) if died else ""
    return {"deaths": len(died), "last": last or None}


def _attach(roots: Roots, limits: SwarmSettings) -> str:
    server = Tmux.of(roots, limits.agents.tmux_timeout_s).server
    folder = "" if server.folder == "/tmp" else f"TMUX_TMPDIR={shlex.quote(server.folder)} "
    return f"{folder}tmux -L {server.label} attach -r -t =bt-worker-progress"
