"""The table of rules that says, when two signals contradict each other, which of them is believed, and why."""

from collections.abc import Callable

from agents.model.world import World
from config.record import dataclass
from config.swarm import SwarmSettings
from state.records.report_parts import Settled

Evidence = str | None  # what was seen; None: the signals do not contradict each other, or one of them is unknown


@dataclass(frozen=True)
class Rule:
    """One rule. `signals` names the two that may contradict each other, `believed` the one that then counts.

    `seen` returns the contradiction in words, or None.
    """

    rule: str
    signals: tuple[str, str]
    believed: str
    why: str
    seen: Callable[[World, SwarmSettings], Evidence]


def arbitrate(world: World, limits: SwarmSettings) -> tuple[Settled, ...]:
    """Try every rule on this world, and return the contradictions that were found, each with the signal that counts."""
    tried = ((rule, rule.seen(world, limits)) for rule in RULES)
    return tuple(Settled(r.rule, r.signals, r.believed, r.why, seen) for r, seen in tried if seen is not None)


def _tombstone(world: World, limits: SwarmSettings) -> Evidence:
    alive = [one.launch.worker_id for one in world.workers if one.life == "running"]
    return f"stopped, and {', '.join(alive)} run" if world.stopped and alive else None


def _low_cpu(world: World, limits: SwarmSettings) -> Evidence:
    cpu_pct = world.control.cpu_pct
    if cpu_pct is None or cpu_pct >= limits.use.cpu_target_pct - limits.use.dead_band_pct or not world.workers:
        return None
    if len(world.workers) < len(world.lanes):
        return None  # free lanes explain the low use
    advance = all(one.life == "running" and one.silent_s <= limits.hang.after_s for one in world.workers)
    return f"CPU {cpu_pct:.0f} %, all {len(world.workers)} workers advance" if advance else None


def _silent(world: World, limits: SwarmSettings) -> Evidence:
    silent = [w for w in world.workers if w.life == "running" and w.silent_s > limits.hang.after_s]
    return "; ".join(f"{w.launch.worker_id} runs, silent for {w.silent_s:.0f} s" for w in silent) or None


def _dead_sessions(world: World, limits: SwarmSettings) -> Evidence:
    there = world.control.sessions
    if there is None:
        return None
    strange = [v for v in world.agents if v.session not in there and v.loop_life == "running"]
    cycled = [(v, v.age_s) for v in strange if v.age_s is not None and not v.is_stale(limits)]
    return (
        "; ".join(f"{v.session} is not among the sessions, {v.agent} cycled {age_s:.0f} s ago" for v, age_s in cycled)
        or None
    )


def _no_queue(world: World, limits: SwarmSettings) -> Evidence:
    queue = world.reports.util_controller.queue
    waiting = sum(state.may_start(world.now_s) for state in world.jobs)
    if queue is None or queue or not waiting or world.stopped or world.run_finished:
        return None
    return f"util_controller sees no queue, {waiting} jobs may start"


def _complete(world: World, limits: SwarmSettings) -> Evidence:
    said = world.reports.auto_scheduler
    open_jobs = sum(not state.is_over for state in world.jobs)
    if said.stage != "complete" or said.run_id != world.run_id or world.run_finished or not open_jobs:
        return None
    return f"auto_scheduler says complete, {open_jobs} jobs are open"


def _done_but_running(world: World, limits: SwarmSettings) -> Evidence:
    running = {state.job.job_id: state.epoch for state in world.jobs if state.status == "running"}
    left = [
        one.launch.job.job_id
        for one in world.workers
        if one.result is not None and running.get(one.launch.job.job_id) == one.result.epoch
    ]
    return f"{', '.join(left)}: result on file, journal says running" if left else None


def _running_without_worker(world: World, limits: SwarmSettings) -> Evidence:
    known = {one.launch.worker_id for one in world.workers}
    lost = [s.job.job_id for s in world.jobs if s.status == "running" and s.worker_id not in known]
    return f"{', '.join(lost)}: journal says running, no worker was launched" if lost else None


def _other_count(world: World, limits: SwarmSettings) -> Evidence:
    said = world.control.workers
    if said is None or said == len(world.workers):
        return None
    return f"the watchdog counted {said} workers, there are {len(world.workers)} records"


# First what the operator wants, then contradictions that could end work wrongly, then those that only look wrong.
RULES: tuple[Rule, ...] = (
    Rule(
        *("stopped_but_workers_run", ("tombstone", "workers"), "tombstone"),
        "the operator's stop counts; worker_sentry ends the workers",
        _tombstone,
    ),
    Rule(
        *("worker_runs_but_is_silent", ("process", "progress counter"), "progress counter"),
        "a process that hangs is alive too; only the work itself advances its counter",
        _silent,
    ),
    Rule(
        *("sessions_dead_but_loops_cycle", ("tmux sessions", "cycles"), "cycles"),
        "a recorded cycle proves that the loop lives; the list of sessions may be old, or of another server",
        _dead_sessions,
    ),
    Rule(
        *("job_running_without_worker", ("job journal", "launch records"), "launch records"),
        "the journal is written before the launch, so a launch that was cut short leaves a job without a worker",
        _running_without_worker,
    ),
    Rule(
        *("result_there_but_job_running", ("job journal", "result"), "result"),
        "a worker's last deed is its result; the journal follows with the sentry's next cycle",
        _done_but_running,
    ),
    Rule(
        *("no_queue_but_jobs_wait", ("util_controller", "job journal"), "job journal"),
        "the journal is the only store of jobs; a report is as old as its writer's last cycle",
        _no_queue,
    ),
    Rule(
        *("complete_but_jobs_open", ("auto_scheduler", "job journal"), "job journal"),
        "the journal is the only store of jobs; a report is as old as its writer's last cycle",
        _complete,
    ),
    Rule(
        *("cpu_low_but_workers_advance", ("CPU use", "progress counters"), "progress counters"),
        "use is a mean over a window and dips between phases; counters are advanced by the work itself",
        _low_cpu,
    ),
    Rule(
        *("worker_counts_differ", ("watchdog", "launch records"), "launch records"),
        "both look at the same files, and this look is the later one",
        _other_count,
    ),
)
