"""Check, with evidence, whether the swarm keeps its own rules (adherence) and whether they help (efficacy).

A score is the share of checks that hold, of those that can be judged now: from 0 to 100, or None when none can.
"""

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Literal

from agents.model.decision import Agent, Decision
from agents.model.world import World
from config.record import dataclass
from config.swarm import SwarmSettings
from state.records.jobs import PHASES, JobState
from state.records.report_parts import Checked
from state.records.reports import AuditorReport, ManagerReport

_HANDOFF = re.compile(r"HANDOFF_SWARM_RUN_(\d{4}-\d\d-\d\d)_(\d{4})Z")
_HANDOFF_AGE = timedelta(hours=24)
_HOUR = timedelta(hours=1)
_BEAT_S = 30.0  # seconds after which a living worker has written its heartbeat; its imports take 5 at most
_GATED = ("merge", "search")  # phases whose jobs record the gates that they passed
_FEW_PCT = 50.0  # percent of the usual throughput

Holds = bool | None
Finding = tuple[Holds, str]  # whether the check holds (None: it cannot be judged now), and the evidence


@dataclass(frozen=True)
class Memory:
    """Empty, because each audit looks only at the present."""


@dataclass(frozen=True)
class Check:
    """One check of a score. `way_out` says what to do when it does not hold. `at_rest`: it is judged after a stop."""

    name: str
    of: Literal["adherence", "efficacy"]
    way_out: str
    look: Callable[[World, SwarmSettings], Finding]
    at_rest: bool = False


def decide(world: World, memory: Memory, limits: SwarmSettings) -> Decision[Memory]:
    """Report every check and the two scores."""
    report = audited(world, limits)
    scores = {"adherence": report.adherence, "efficacy": report.efficacy}
    said = ", ".join(f"{name} {'unknown' if score is None else f'{score:.0f}'}" for name, score in scores.items())
    failing = ", ".join(report.failing)
    return Decision(memory, f"{said}{': ' if failing else ''}{failing}", report=report)


def audited(world: World, limits: SwarmSettings) -> AuditorReport:
    """Return what every check finds now, and the two scores. `scripts/process_auditor.py` prints the same."""
    rows = tuple(_checked(check, world, limits) for check in CHECKS)
    scores = {name: _score([row.holds for row in rows if row.of == name]) for name in ("adherence", "efficacy")}
    failing = tuple(row.name for row in rows if row.holds is False)
    return AuditorReport(world.run_id or None, **scores, checks=rows, failing=failing)


def _checked(check: Check, world: World, limits: SwarmSettings) -> Checked:
    at_rest = world.stopped and not check.at_rest
    holds, evidence = (None, "the operator stopped the swarm") if at_rest else check.look(world, limits)
    return Checked(check.name, check.of, holds, evidence, check.way_out if holds is False else "")


def _score(holds: list[Holds]) -> float | None:
    judged = [one for one in holds if one is not None]
    return round(100 * sum(judged) / len(judged), 1) if judged else None


# adherence: the rules are kept ----------------------------------------------------------------------------------------


def _state_files_fresh(world: World, limits: SwarmSettings) -> Finding:
    judged = [view for view in world.agents if view.agent != "process_auditor"]
    stale = [view for view in judged if view.is_stale(limits)]
    ages = (f"{view.agent} {'never' if view.age_s is None else f'{view.age_s:.0f} s ago'}" for view in stale)
    return (
        (not stale, ", ".join(ages) or f"all {len(judged)} other agents cycle")
        if judged
        else (None, "no agent is known")
    )


def _one_writer_per_file(world: World, limits: SwarmSettings) -> Finding:
    if world.audit is None or not world.audit.writers:
        return None, "no state file was read"
    strangers = [f"{name}'s was written by {who}" for name, who in world.audit.writers.items() if who != name]
    pids = list(world.audit.loops.values())
    strangers += [f"{name} shares pid {pid}" for name, pid in world.audit.loops.items() if pids.count(pid) > 1]
    return not strangers, "; ".join(strangers) or f"{len(world.audit.writers)} files, each by its agent"


def _next_steps_filled(world: World, limits: SwarmSettings) -> Finding:
    report = world.reports.session_state_manager
    if report == ManagerReport():
        return None, "session_state_manager has not reported yet"
    steps = report.next_steps or ()
    return bool(steps), ", ".join(one.id for one in steps) or "next_steps is empty"


def _heartbeats_written(world: World, limits: SwarmSettings) -> Finding:
    judged = [one for one in world.workers if one.life == "running" and one.age_s > _BEAT_S]
    silent = [one.launch.worker_id for one in judged if one.pid is None]
    if not judged:
        return None, f"no worker is older than {_BEAT_S:.0f} s"
    return not silent, ", ".join(silent) or f"{_workers(judged)}, each with its heartbeat"


def _journals_whole(world: World, limits: SwarmSettings) -> Finding:
    bad = {"jobs.jsonl": world.bad_lines} if world.bad_lines else {}
    bad |= {} if world.audit is None else world.audit.bad_tails
    return not bad, ", ".join(f"{name}: {count} lines are no records" for name, count in bad.items()) or "every line is"


def _gates_passed(world: World, limits: SwarmSettings) -> Finding:
    if not world.jobs:
        return None, "there are no jobs"
    wrong = [text for state in world.jobs for text in _unlawful(state, world)]
    return not wrong, "; ".join(wrong) or f"{len(world.jobs)} jobs, each after its gates"


def _unlawful(state: JobState, world: World) -> list[str]:
    """Return which rules the job violates: the phase before it is not completed, or one of its gates has not passed."""
    number = PHASES.index(state.job.phase)
    wrong = []
    if number:
        before = PHASES[number - 1]
        mine = [one for one in world.jobs if one.job.unit == state.job.unit and one.job.phase == before]
        if not mine or any(one.status != "completed" for one in mine):
            wrong.append(f"{state.job.job_id} came before {before} was completed")
    if state.status == "completed" and state.job.phase in _GATED:
        failed = [str(gate.get("gate")) for gate in state.gates if gate.get("passed") is not True]
        wrong += [f"{state.job.job_id} went on without {', '.join(failed)}"] if failed else []
        wrong += [] if state.gates else [f"{state.job.job_id} recorded no gate"]
    return wrong


def _latest_handoff_recent(world: World, limits: SwarmSettings) -> Finding:
    """Judge the newest handoff: a complete run needs one written after its end, a run that goes on one a day."""
    if world.audit is None or world.order is None:
        return None, "the handoffs were not read" if world.audit is None else "there is no run"
    now = datetime.fromisoformat(world.now)
    newest = max((moment for name in world.audit.handoffs if (moment := _moment(name)) is not None), default=None)
    said = "there is no handoff" if newest is None else f"the newest is {(now - newest) / _HOUR:.1f} h old"
    is_recent = newest is not None and now - newest <= _HANDOFF_AGE
    if not world.run_finished:
        is_young = now - datetime.fromisoformat(world.order.started_at) <= _HANDOFF_AGE
        return (True, said) if is_recent else (None if is_young or world.stopped else False, f"{said}; the run goes on")
    finished = _when(world.audit.finished_at)
    if newest is None or finished is None:
        return is_recent, said
    if newest >= finished.replace(second=0, microsecond=0):  # the names of handoffs hold the time to the minute
        return True, f"{said}, the run has been complete for {(now - finished) / _HOUR:.1f} h"
    return False, f"{said}: it was written before the run was complete, {(now - finished) / _HOUR:.1f} h ago"


def _when(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _moment(name: str) -> datetime | None:
    match = _HANDOFF.match(name)
    try:
        return None if match is None else datetime.strptime(f"{match[1]} {match[2]}+0000", "%Y-%m-%d %H%M%z")
    except ValueError:
        return None


def _workers_within_lanes(world: World, limits: SwarmSettings) -> Finding:
    taken = [one.launch.lane for one in world.workers if one.life in ("running", "stopped")]
    shared = sorted({lane for lane in taken if taken.count(lane) > 1})
    if not taken:
        return None, "no worker runs"
    return not shared, f"two workers on {', '.join(shared)}" if shared else f"{_workers(taken)}, each on its lane"


def _budget_kept(world: World, limits: SwarmSettings) -> Finding:
    guard = world.reports.budget_guard
    if guard.over_budget is None:
        return None, "budget_guard has not reported yet"
    return not guard.over_budget, "; ".join(guard.over) or f"{guard.spent_hours:g} h of work so far"


def _workers(some: Sequence[object]) -> str:
    return f"{len(some)} worker{'' if len(some) == 1 else 's'}"


# efficacy: it helps ---------------------------------------------------------------------------------------------------


def _actions_verified(world: World, limits: SwarmSettings) -> Finding:
    if all(view.cycle == 0 for view in world.agents):
        return None, "no agent has cycled yet"
    wrong = [f"{view.agent}: {text}" for view in world.agents for text in (*view.unmet, view.failed) if text]
    return not wrong, "; ".join(wrong) or "every action had its effect, or its effect is awaited"


def _workers_progress(world: World, limits: SwarmSettings) -> Finding:
    judged = [one for one in world.workers if one.life in ("running", "stopped")]
    hung = [one for one in judged if one.life == "stopped" or one.silent_s > limits.hang.after_s]
    if not judged:
        return None, "no worker runs"
    texts = (f"{one.launch.worker_id} {one.life}, silent for {one.silent_s:.0f} s" for one in hung)
    return not hung, "; ".join(texts) or f"{_workers(judged)} advance{'s' if len(judged) == 1 else ''}"


def _units_succeed(world: World, limits: SwarmSettings) -> Finding:
    bad = [f"{s.job.job_id} {s.status}" for s in world.jobs if s.status in ("failed", "quarantined")]
    bad += list(world.dropped)
    return (not bad, ", ".join(bad) or "no unit has failed") if world.jobs else (None, "there are no jobs")


def _utilisation(world: World, limits: SwarmSettings) -> Finding:
    waiting = sum(state.may_start(world.now_s) for state in world.jobs)
    cpu_pct = world.control.cpu_pct
    if not waiting or cpu_pct is None or world.run_finished:
        return None, "no job waits" if not waiting else "use is unknown"
    least = limits.use.cpu_target_pct - limits.use.dead_band_pct
    return cpu_pct >= least, f"CPU {cpu_pct:.0f} % of {limits.use.cpu_target_pct:.0f} % with {waiting} jobs waiting"


def _throughput_kept(world: World, limits: SwarmSettings) -> Finding:
    score = world.reports.orchestration_consensus.performance
    if score is None:
        return None, "there is no history to compare with"
    return score >= _FEW_PCT, f"{score:.0f} % of what it was in the last minutes"


_ENSURE = "bash scripts/ensure_swarm_watchdogs.sh"
_EXPLAIN = "scripts/backtest-optimize status says what is wrong and who remedies it"
CHECKS: tuple[Check, ...] = (
    Check("state_files_fresh", "adherence", f"wait two cycles, then {_ENSURE}", _state_files_fresh),
    Check(
        "one_writer_per_file",
        "adherence",
        "stop, then start: a second swarm shares STATE_ROOT",
        _one_writer_per_file,
        True,
    ),
    Check("next_steps_filled", "adherence", f"wait two cycles, then {_ENSURE}", _next_steps_filled),
    Check("heartbeats_written", "adherence", "read the job's log under LOGS_ROOT", _heartbeats_written),
    Check("journals_whole", "adherence", "check the disk; what was lost is enqueued again", _journals_whole, True),
    Check(
        "gates_passed_before_phases", "adherence", "cancel the job; type --parallel for a new run", _gates_passed, True
    ),
    Check("latest_handoff_recent", "adherence", "scripts/backtest-optimize handoff", _latest_handoff_recent, True),
    Check("workers_within_lanes", "adherence", _EXPLAIN, _workers_within_lanes),
    Check("budget_kept", "adherence", "stop, or raise swarm.budget.hours, swarm.budget.dollars_per_day", _budget_kept),
    Check("actions_verified", "efficacy", _EXPLAIN, _actions_verified),
    Check("workers_progress", "efficacy", "worker_sentry replaces them; read the job's log", _workers_progress),
    Check(
        "units_succeed",
        "efficacy",
        "fix the cause that the job's log names, type --parallel again",
        _units_succeed,
        True,
    ),
    Check("utilisation_with_queue", "efficacy", _EXPLAIN, _utilisation),
    Check("throughput_kept", "efficacy", "see what else uses this machine", _throughput_kept),
)

OWNS = ()
AGENT = Agent(Memory, decide, OWNS, frozenset({"audit"}))
