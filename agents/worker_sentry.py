"""Make the workers that run equal the jobs that are wanted: the only one who starts and stops workers."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from agents.runtime.decision import Action, Agent, Decision
from agents.runtime.world import Lane, Worker, World
from config.settings import SwarmSettings
from hooks import first_kernel_deadline
from state.jobs import PHASES, JobState

# What a process brings upon itself: a crash in a kernel is no operator's kill.
_OWN_SIGNALS = frozenset(
    int(number)
    for number in (
        *(signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP),
        *(signal.SIGSYS, signal.SIGXCPU, signal.SIGXFSZ),
    )
)
_READS = 2  # silence must be seen so often: one look may fall into a suspended moment


@dataclass(frozen=True)
class Memory:
    """What was tried with whom already, by worker id: how often it was seen silent, since when it was asked to end."""

    silent: Mapping[str, int] = field(default_factory=dict)
    continued: Mapping[str, int] = field(default_factory=dict)
    asked_to_end_s: Mapping[str, float] = field(default_factory=dict)
    killed: Mapping[str, str] = field(default_factory=dict)  # worker id → why


def decide(world: World, memory: Memory, limits: SwarmSettings) -> Decision[Memory]:
    """Account for the dead, end the hung, then fill free lanes."""
    jobs = {state.job.job_id: state for state in world.jobs}
    actions: list[Action] = []
    keep = {worker.launch.worker_id for worker in world.workers}
    memory = Memory(
        silent={k: v for k, v in memory.silent.items() if k in keep},
        continued={k: v for k, v in memory.continued.items() if k in keep},
        asked_to_end_s={k: v for k, v in memory.asked_to_end_s.items() if k in keep},
        killed={k: v for k, v in memory.killed.items() if k in keep},
    )
    gone: set[str] = set()
    for worker in world.workers:
        if _is_over(worker):
            gone.add(worker.launch.worker_id)
            actions += _account(worker, jobs, world, memory, limits)
        else:
            memory, more = _watch(worker, jobs, world, memory, limits)
            actions += more
    actions += _lost(world, jobs)
    actions += _answers(world, jobs, {action.target for action in actions})
    launches, reason = _launches(world, gone, actions, limits)
    actions += launches
    running = [w for w in world.workers if w.launch.worker_id not in gone]
    return Decision(
        memory=memory,
        reason=f"{len(running)} workers run" + (f"; {reason}" if reason else ""),
        actions=tuple(actions),
        report={
            "lanes": [lane.lane_id for lane in world.lanes],
            "workers": {w.launch.worker_id: w.launch.job.job_id for w in running},
            "launched": [action.target for action in launches],
        },
    )


# the dead -------------------------------------------------------------------------------------------------------------


def _is_over(worker: Worker) -> bool:
    return worker.life == "dead" or (worker.life == "unknown" and worker.exit is not None)


def _account(
    worker: Worker, jobs: Mapping[str, JobState], world: World, memory: Memory, limits: SwarmSettings
) -> list[Action]:
    launch = worker.launch
    retire = Action("retire_worker", launch.worker_id, "its launch record is gone")
    state = jobs.get(launch.job.job_id)
    is_its = state is not None and state.status == "running" and state.epoch == launch.epoch
    if state is None or not is_its or launch.run_id != world.run_id:
        return [retire]
    result = worker.result
    if result is not None and result.epoch == launch.epoch:
        if result.status == "completed":
            said = {"metrics": result.metrics, "gates": list(result.gates)}
            return [Action("complete_job", state.job.job_id, "the job is completed", said), retire]
        return [_end(state, "failed", result.error_message), retire]
    if world.stopped:
        return [_death(state, worker, "stopped by the operator", state.deaths, 0.0), retire]
    return [_after_death(state, worker, memory.killed.get(launch.worker_id), limits), retire]


def _after_death(state: JobState, worker: Worker, killed: str | None, limits: SwarmSettings) -> Action:
    """Deaths by a signal from outside never count; ours and its own do until there is new durable progress."""
    how = _how(worker) if killed is None else f"ended by us: {killed}"
    advanced = worker.done > state.last_done
    if killed is None and _came_from_outside(worker):
        # One whose end nobody saw may have taken its wrapper along: from the second time on it waits.
        again = worker.exit is None and not advanced and state.error_message == how
        return _death(state, worker, how, 0 if advanced else state.deaths, limits.backoff_s if again else 0.0)
    deaths = 1 if advanced or worker.age_s >= limits.healthy_after_s else state.deaths + 1
    if deaths >= limits.max_deaths:
        return _end(state, "quarantined", f"{deaths} deaths in a row without new progress, the last: {how}")
    return _death(state, worker, how, deaths, min(limits.backoff_max_s, limits.backoff_s * 2 ** (deaths - 1)))


def _came_from_outside(worker: Worker) -> bool:
    return worker.exit is None or (
        worker.exit.signal is not None and worker.exit.signal not in _OWN_SIGNALS and not worker.exit.oom
    )


def _how(worker: Worker) -> str:
    if worker.exit is None:
        return "it is gone, and so is who watched it"
    if worker.exit.oom:
        return "killed by the kernel: out of memory"
    if worker.exit.signal is not None:
        return f"killed by signal {worker.exit.signal}"
    return {3: "it could not go on (its log says why)", 4: "a newer worker had taken over"}.get(
        worker.exit.code or 0, f"exit code {worker.exit.code}"
    )


def _death(state: JobState, worker: Worker, reason: str, deaths: int, wait_s: float) -> Action:
    said = {"reason": reason, "deaths": deaths, "last_done": max(worker.done, state.last_done), "wait_s": wait_s}
    said |= {"worker_id": worker.launch.worker_id}
    return Action("record_death", state.job.job_id, "the job is pending again", said)


def _end(state: JobState, status: str, message: str) -> Action:
    return Action("end_job", state.job.job_id, f"the job is {status}", {"status": status, "error_message": message})


def _lost(world: World, jobs: Mapping[str, JobState]) -> list[Action]:
    """Jobs that count as running while no launch of theirs is on file: their launcher died in between."""
    known = {worker.launch.worker_id for worker in world.workers}
    said = {"reason": "its launch was cut short", "wait_s": 0.0, "worker_id": ""}
    return [
        Action(
            "record_death",
            state.job.job_id,
            "the job is pending again",
            {**said, "deaths": state.deaths, "last_done": state.last_done},
        )
        for state in jobs.values()
        if state.status == "running" and state.worker_id not in known
    ]


# the living -----------------------------------------------------------------------------------------------------------


def _watch(
    worker: Worker, jobs: Mapping[str, JobState], world: World, memory: Memory, limits: SwarmSettings
) -> tuple[Memory, list[Action]]:
    worker_id = worker.launch.worker_id
    if worker_id in memory.asked_to_end_s:
        if world.now_s - memory.asked_to_end_s[worker_id] < limits.stop_grace_s:
            return memory, []
        return _kill(worker, memory, "it was asked to end and has not")
    if (why := _unwanted(worker, jobs, world)) is not None:
        return _ask_to_end(worker, world, memory, why)
    if worker.life == "stopped":
        return _wake_or_kill(worker, memory)
    return _judge_silence(worker, memory, limits)


def _unwanted(worker: Worker, jobs: Mapping[str, JobState], world: World) -> str | None:
    """Why it is to end, if it is."""
    if world.stopped:
        return "the operator stopped the swarm"
    job = worker.launch.job
    state = jobs.get(job.job_id)
    if worker.launch.run_id == world.run_id and job.unit in world.dead_units:
        return "its symbol and mode have ended"
    if world.order is None or (worker.launch.run_id == world.run_id and state is None):
        return None  # a record is lost: unknown never ends anything
    is_mine = state is not None and not state.is_over and state.epoch == worker.launch.epoch
    return None if worker.launch.run_id == world.run_id and is_mine else "its job is no longer its own"


def _wake_or_kill(worker: Worker, memory: Memory) -> tuple[Memory, list[Action]]:
    worker_id = worker.launch.worker_id
    if memory.continued.get(worker_id, 0):
        return _kill(worker, memory, "it is stopped again although it was continued")
    woken = Action("continue_worker", worker_id, "it runs again", {"nonce": worker.launch.nonce})
    return replace(memory, continued={**memory.continued, worker_id: 1}), [woken]


def _judge_silence(worker: Worker, memory: Memory, limits: SwarmSettings) -> tuple[Memory, list[Action]]:
    worker_id = worker.launch.worker_id
    too_long = worker.silent_s > limits.silent_after_s
    if worker.launch.job.phase == "prescreen":
        gate = first_kernel_deadline.judge(worker.done, worker.age_s, limits.first_kernel_s)
        too_long = too_long or not gate.passed
    if not too_long:
        return replace(memory, silent={k: v for k, v in memory.silent.items() if k != worker_id}), []
    reads = memory.silent.get(worker_id, 0) + 1
    memory = replace(memory, silent={**memory.silent, worker_id: reads})
    if reads < _READS:
        return memory, []
    return _kill(worker, memory, f"no progress for {worker.silent_s:.0f} s")


def _ask_to_end(worker: Worker, world: World, memory: Memory, why: str) -> tuple[Memory, list[Action]]:
    worker_id = worker.launch.worker_id
    memory = replace(memory, asked_to_end_s={**memory.asked_to_end_s, worker_id: world.now_s})
    said = {"nonce": worker.launch.nonce, "why": why}
    return memory, [Action("end_worker", worker_id, "it ends by itself", said)]


def _kill(worker: Worker, memory: Memory, why: str) -> tuple[Memory, list[Action]]:
    worker_id = worker.launch.worker_id
    memory = replace(memory, killed={**memory.killed, worker_id: memory.killed.get(worker_id, why)})
    said = {"nonce": worker.launch.nonce, "why": why}
    return memory, [Action("kill_worker", worker_id, "its tree is gone", said)]


def _answers(world: World, jobs: Mapping[str, JobState], touched: set[str]) -> list[Action]:
    actions = []
    for request in world.requests:
        if request.kind != "cancel_job" or request.target in touched:
            continue
        state = jobs.get(request.target)
        refusal = "there is no such job in this round" if state is None else f"it is {state.status} already"
        may = state is not None and not state.is_over and request.expires_at >= world.now
        if state is not None and may:
            actions.append(_end(state, "cancelled", f"cancelled by {request.asked_by}"))
        elif request.expires_at < world.now:
            refusal = "it had expired"
        said = {"done": may, "reason": "cancelled" if may else refusal}
        actions.append(Action("answer_request", request.request_id, "the request is answered", said))
    return actions


# lanes ----------------------------------------------------------------------------------------------------------------


def _launches(world: World, gone: set[str], actions: list[Action], limits: SwarmSettings) -> tuple[list[Action], str]:
    if world.stopped:
        return [], "the operator stopped the swarm"
    if world.order is None:
        return [], "there is no run"
    if world.run_finished:
        return [], "the run is complete"
    if world.disk_free_bytes is not None and world.disk_free_bytes < limits.min_free_mb * 1_000_000:
        free = f"{world.disk_free_bytes / 1e6:.0f} MB free, at least {limits.min_free_mb} are wanted"
        return [], f"nothing is started: the disk is full ({free})"
    touched = {action.target for action in actions}  # one remedy per target and cycle: its epoch must settle first
    again = {a.target for a in actions if a.kind == "record_death" and a.arguments["wait_s"] == 0}
    # A lane whose job died through no fault of its own is kept for that job's next worker, one cycle from now.
    taken = {
        worker.launch.lane
        for worker in world.workers
        if worker.launch.worker_id not in gone or worker.launch.job.job_id in again
    }
    free_lanes = [lane for lane in world.lanes if lane.lane_id not in taken]
    ready = [
        state
        for state in world.jobs
        if state.may_start(world.now_s)
        and state.job.unit not in world.dead_units
        and state.job.job_id not in touched
        and not world.workers_of(state.job.job_id)
    ]
    ready.sort(key=lambda state: (state.job.round, -PHASES.index(state.job.phase)))  # what ends a unit goes first
    pairs = list(zip(free_lanes, ready, strict=False))
    waiting = len(ready) - len(pairs)
    spare = len(free_lanes) // len(pairs) if pairs else 1  # cores that would idle help those that start now
    reason = f"{waiting} jobs wait for a lane" if waiting else ""
    return [_launch(lane, state, lane.cores * spare) for lane, state in pairs], reason


def _launch(lane: Lane, state: JobState, cores: int) -> Action:
    epoch = state.epoch + 1
    said = {"lane": lane.lane_id, "cores": cores, "epoch": epoch}
    return Action("launch_worker", state.job.job_id, "it makes progress", said)


OWNS = (
    "launch_worker",
    "continue_worker",
    "end_worker",
    "kill_worker",
    "retire_worker",
    "complete_job",
    "end_job",
    "record_death",
    "answer_request",
)
AGENT = Agent(Memory, decide, OWNS)
