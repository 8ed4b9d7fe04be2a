"""Make the running workers equal the wanted jobs. No other agent starts or stops workers."""

from collections.abc import Mapping
from typing import Any

from agents.actions.jobs import CompleteJob, EndJob, RecordDeath
from agents.actions.records import AnswerRequest
from agents.actions.workers import ContinueWorker, EndWorker, KillWorker, LaunchWorker, RetireWorker
from agents.model.action import Action
from agents.model.decision import Agent, Decision
from agents.model.world import Worker, World
from agents.rules import blame as blaming
from agents.rules import hang, launching
from agents.rules import pace as pacing
from agents.rules.blame import Blame
from agents.rules.hang import Tried
from agents.rules.launching import LaneSupply
from agents.rules.pace import Pace
from config.record import dataclass, field, replace
from config.swarm import SwarmSettings
from state.records.jobs import BY_OPERATOR, JobState, Status
from state.records.reports import SentryReport
from state.records.request import KINDS
from state.records.workers import Launch, Result

Jobs = Mapping[str, JobState]
_SURVIVED = "it survives KILL; its lane stays closed until it is gone"


@dataclass(frozen=True)
class Memory:
    """What was tried with which worker, what is to blame for deaths, and the usual speeds of prescreens."""

    tried: Tried = field(default_factory=Tried)
    blame: Blame = field(default_factory=Blame)
    pace: Pace = field(default_factory=Pace)
    boot_id: str = ""
    outdated_since_s: float | None = None  # since when an upgrade waits for workers of the older code


def decide(world: World, memory: Memory, limits: SwarmSettings) -> Decision[Memory]:
    """Account for dead workers, end hung ones, then start jobs on free lanes."""
    jobs = {state.job.job_id: state for state in (*world.jobs, *world.fills)}
    there = {worker.launch.worker_id for worker in world.workers}
    if memory.boot_id not in ("", world.boot_id):  # monotonic times of another boot mean nothing here
        memory = Memory(pace=pacing.of_another_boot(memory.pace))
    memory = replace(memory, pace=pacing.looked(memory.pace, world, limits))
    memory = replace(
        memory, boot_id=world.boot_id, tried=memory.tried.of(there), blame=blaming.at(memory.blame, world.now_s, limits)
    )
    since_s = world.now_s if memory.outdated_since_s is None else memory.outdated_since_s
    memory = replace(memory, outdated_since_s=since_s if world.outdated else None)
    actions: list[Action] = []
    gone: set[str] = set()
    # without the order it is unknown whose jobs these are, so dead workers wait until it is back
    is_lost = world.order is None and not world.stopped
    for worker in world.workers:
        if _is_over(worker):
            gone.add(worker.launch.worker_id)
            memory, more = (memory, []) if is_lost else _account(worker, jobs, world, memory, limits)
        else:
            memory, more = _watch(worker, jobs, world, memory, limits)
        actions += more
    actions += _lost(world, jobs)
    actions += _answers(world, jobs, {action.target for action in actions})
    memory, more = _give_way(world, memory, gone)
    actions += more
    launches, reason = _launches(world, memory, gone, actions, limits)
    actions += launches
    running = [w for w in world.workers if w.launch.worker_id not in gone]
    return Decision(
        memory=memory,
        reason=f"{len(running)} worker{' runs' if len(running) == 1 else 's run'}" + (f"; {reason}" if reason else ""),
        actions=tuple(actions),
        report=_report(world, memory, running, launches, reason),
    )


def _report(world: World, memory: Memory, running: list[Worker], launches: list[Action], reason: str) -> SentryReport:
    survivors = dict.fromkeys(memory.tried.given_up.values(), _SURVIVED)
    blamed = {lane: launching.why_closed(lane) for lane in memory.blame.lanes}
    return SentryReport(
        lanes=tuple(lane.lane_id for lane in world.lanes),
        workers={w.launch.worker_id: w.launch.job.job_id for w in running},
        launched=tuple(action.target for action in launches),
        waits=reason,
        quarantined_lanes=blamed | survivors,
        survivors=tuple(sorted(memory.tried.given_up)),
        storm=memory.blame.words(),
        slow_prescreens=dict(memory.pace.slow),
    )


# the dead -------------------------------------------------------------------------------------------------------------


def _is_over(worker: Worker) -> bool:
    return worker.life == "dead" or (worker.life == "unknown" and worker.exit is not None)


def _account(
    worker: Worker, jobs: Jobs, world: World, memory: Memory, limits: SwarmSettings
) -> tuple[Memory, list[Action]]:
    """Record how a dead worker's job goes on, and retire the worker. One that had lost its job is only retired."""
    # The job's record comes before the retirement: cut short in between, the next cycle accounts for it again.
    launch = worker.launch
    retire = RetireWorker(launch.worker_id)
    state = jobs.get(launch.job.job_id)
    if state is None or not _is_its(state, launch) or launch.run_id != world.run_id:
        return memory, [retire]
    result = worker.result
    if result is not None and result.epoch == launch.epoch and result.status == "waiting":
        return memory, [_wait(state, worker, result, limits), retire]
    if result is not None and result.epoch == launch.epoch and result.status != "again":
        memory = replace(memory, blame=blaming.after_completion(memory.blame))
        if result.status == "completed":
            memory = replace(memory, pace=pacing.completed(memory.pace, worker, world.now_s, limits))
            return memory, [CompleteJob(state.job.job_id, result.metrics, tuple(result.gates)), retire]
        return memory, [_end(state, "failed", result.error_message, result.gates), retire]
    # A death by `stop` does not count against the job, and needs no wait.
    if world.stopped:
        return memory, [_death(state, worker, BY_OPERATOR, state.deaths, 0.0), retire]
    memory, action = _after_death(state, worker, world, memory, limits)
    return memory, [action, retire]


def _is_its(state: JobState, launch: Launch) -> bool:
    """Whether the job journal agrees that this worker has the job. A forged launch record has no entry there."""
    is_at_work = state.status == "running" and state.epoch == launch.epoch
    return is_at_work and state.worker_id in ("", launch.worker_id)  # "": the journal lost the line with the id


def _after_death(
    state: JobState, worker: Worker, world: World, memory: Memory, limits: SwarmSettings
) -> tuple[Memory, Action]:
    """Decide how a job goes on after its worker died without a result.

    A death by a signal from outside never counts. Deaths by the swarm and by the worker's own fault count until the job
    makes new durable progress.
    """
    why = memory.tried.killed.get(worker.launch.worker_id)
    how = _again(worker) or blaming.how(worker) if why is None else f"ended by us: {why}"
    # Durable progress shows that the job itself can be done, so earlier deaths no longer count against it.
    advanced = worker.done > state.last_done
    asked = why is None and worker.launch.worker_id in memory.tried.asked_to_end_s
    if asked:
        return memory, _death(state, worker, "it was asked to end", state.deaths, 0.0)
    if why is None and blaming.came_from_outside(worker):
        # The same end again without progress in between: the job waits before it is tried again, whatever the cause.
        again = not advanced and state.last_death == how
        return memory, _death(
            state, worker, how, 0 if advanced else state.deaths, limits.blame.backoff_s if again else 0.0
        )
    if blaming.lost_its_gpu(worker):  # the lane is closed at once; the job goes on elsewhere without a wait
        memory = replace(memory, blame=blaming.without_lane(memory.blame, worker, world.now_s, limits))
        return memory, _death(state, worker, how, state.deaths, 0.0)
    memory = replace(memory, blame=blaming.after_death(memory.blame, worker, world.now_s, len(world.lanes), limits))
    if memory.blame.is_environment:  # the next worker would die, too, so this death does not count against the job
        return memory, _death(state, worker, how, state.deaths, 0.0)
    deaths = 1 if advanced or worker.age_s >= limits.blame.healthy_after_s else state.deaths + 1
    if deaths >= limits.blame.max_deaths:
        said = f"{deaths} deaths in a row without new progress, the last: {how}"
        return memory, _end(state, "quarantined", said)
    return memory, _death(state, worker, how, deaths, blaming.backoff_s(deaths, limits))


def _death(state: JobState, worker: Worker, reason: str, deaths: int, wait_s: float) -> RecordDeath:
    last_done = max(worker.done, state.last_done)
    oom = worker.exit is not None and worker.exit.oom
    return RecordDeath(state.job.job_id, reason, deaths, last_done, wait_s, worker.launch.worker_id, oom)


def _wait(state: JobState, worker: Worker, result: Result, limits: SwarmSettings) -> Action:
    """Let a job wait for an obstacle that may pass by itself; it fails when its patience is over.

    Such a wait does not count as a death, and no work of the unit is lost.
    """
    patience_s = limits.blame.patience_s if result.patience_s is None else result.patience_s
    waits = state.waits + 1
    waited_s = blaming.waited_s(state.waits, limits)
    if waited_s >= patience_s:
        return _end(state, "failed", f"it waited {_short(waited_s)} in vain: {result.error_message}", result.gates)
    wait_s = blaming.backoff_s(waits, limits)
    after, longest = _short(wait_s), _short(patience_s)
    why = f"it waits: {result.error_message}; it is tried again in {after}, for {longest} in all"
    return replace(_death(state, worker, why, state.deaths, wait_s), waits=waits)


def _again(worker: Worker) -> str:
    """Return the message of a worker that found a working file changed since it was written; "" when it found none."""
    result = worker.result
    is_its = result is not None and result.epoch == worker.launch.epoch and result.status == "again"
    return f"{result.error_message}; it is made again" if result is not None and is_its else ""


def _short(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def _end(state: JobState, status: Status, message: str, gates: tuple[dict[str, Any], ...] = ()) -> Action:
    return EndJob(state.job.job_id, status, message, tuple(gates))


def _lost(world: World, jobs: Jobs) -> list[Action]:
    """Return the death of each job that counts as running and has no launch record: its launch was cut short."""
    # The journal is written before the launch record, so a launch may be cut short between the two.
    known = {worker.launch.worker_id for worker in world.workers}
    return [
        RecordDeath(state.job.job_id, "its launch was cut short", state.deaths, state.last_done, 0.0, "")
        for state in jobs.values()
        if state.status == "running" and state.worker_id not in known
    ]


# the living -----------------------------------------------------------------------------------------------------------


def _watch(
    worker: Worker, jobs: Jobs, world: World, memory: Memory, limits: SwarmSettings
) -> tuple[Memory, list[Action]]:
    """Decide on a living worker.

    A worker that is no longer wanted is asked to end, a stopped one is continued once, and one that is proven to hang
    is killed. A worker that survives SIGKILL is left alone.
    """
    worker_id, tried = worker.launch.worker_id, memory.tried
    if worker_id in tried.given_up:
        return memory, []
    if tried.has_survived(worker_id) or worker_id in tried.asked_to_end_s:
        return _see_it_end(worker, jobs, world, memory, limits)
    slow = pacing.to_replace(memory.pace, worker) or None
    if (why := _unwanted(worker, jobs, world) or _overdue(world, memory, limits) or slow) is not None:
        return _ask_to_end(worker, world, replace(memory, pace=pacing.asked_to_end(memory.pace, worker)), why)
    if worker.life == "stopped":
        return _wake_or_kill(worker, memory)
    why = hang.is_suspect(worker, world, limits, pacing.excuses(memory.pace, worker))
    if not why:
        return replace(memory, tried=tried.seen_alive(worker_id)), []
    memory = replace(memory, tried=tried.seen_silent(worker, world.now_s))
    return _kill(worker, memory, why) if hang.is_proven(memory.tried, worker, world, limits) else (memory, [])


def _see_it_end(
    worker: Worker, jobs: Jobs, world: World, memory: Memory, limits: SwarmSettings
) -> tuple[Memory, list[Action]]:
    """Decide on a worker that was asked to end: first its grace, then SIGKILL, and at last its lane is given up."""
    worker_id = worker.launch.worker_id
    if memory.tried.has_survived(worker_id):
        return _give_up(worker, jobs, memory)
    if world.now_s - memory.tried.asked_to_end_s[worker_id] < limits.hang.stop_grace_s:
        return memory, []
    return _kill(worker, memory, "it was asked to end and has not")


def _unwanted(worker: Worker, jobs: Jobs, world: World) -> str | None:
    """Return why the worker should end; None when it should not."""
    if world.stopped:
        return "the operator stopped the swarm"
    job = worker.launch.job
    state = jobs.get(job.job_id)
    is_of_run = worker.launch.run_id == world.run_id
    if is_of_run and job.unit in world.dead_units:
        return "its symbol and mode have ended"
    if is_of_run and job.round < world.round:
        return "its round is over"
    if world.order is None or (is_of_run and state is None):
        return None  # a record is lost: unknown never ends anything
    # A newer epoch means that another worker has the job: two must not work on it.
    is_mine = state is not None and not state.is_over and state.epoch == worker.launch.epoch
    return None if is_of_run and is_mine else "its job is no longer its own"


def _overdue(world: World, memory: Memory, limits: SwarmSettings) -> str | None:
    """Return why an upgrade no longer waits for this worker; None while it does.

    Ending the worker loses little, because its unit begins again with the new code in any case.
    """
    waited_s = 0.0 if memory.outdated_since_s is None else world.now_s - memory.outdated_since_s
    return f"the code changed {waited_s:.0f} s ago" if waited_s > limits.hang.upgrade_wait_s else None


def _wake_or_kill(worker: Worker, memory: Memory) -> tuple[Memory, list[Action]]:
    worker_id = worker.launch.worker_id
    if not hang.may_be_continued(memory.tried, worker_id):
        return _kill(worker, memory, "it is stopped again although it was continued")
    woken = ContinueWorker(worker_id, worker.launch.nonce, worker.silent_s)
    return replace(memory, tried=memory.tried.was_continued(worker_id)), [woken]


def _ask_to_end(worker: Worker, world: World, memory: Memory, why: str) -> tuple[Memory, list[Action]]:
    worker_id = worker.launch.worker_id
    memory = replace(memory, tried=memory.tried.was_asked(worker_id, world.now_s))
    return memory, [EndWorker(worker_id, worker.launch.nonce, why)]


def _kill(worker: Worker, memory: Memory, why: str) -> tuple[Memory, list[Action]]:
    worker_id = worker.launch.worker_id
    memory = replace(memory, tried=memory.tried.was_killed(worker_id, why))
    return memory, [KillWorker(worker_id, worker.launch.nonce, why)]


def _give_up(worker: Worker, jobs: Jobs, memory: Memory) -> tuple[Memory, list[Action]]:
    """Give up on a worker that survives SIGKILL (a driver holds it); its job goes on elsewhere under the next epoch."""
    launch, state = worker.launch, jobs.get(worker.launch.job.job_id)
    memory = replace(memory, tried=memory.tried.give_up(launch.worker_id, launch.lane))
    if state is None or not _is_its(state, launch):
        return memory, []
    return memory, [_death(state, worker, _SURVIVED, state.deaths, 0.0)]


def _give_way(world: World, memory: Memory, gone: set[str]) -> tuple[Memory, list[Action]]:
    """Ask workers that only fill a lane to end, as many as jobs of the pipeline wait for a lane."""
    hands = LaneSupply(world, memory.blame, memory.tried.given_up, frozenset(gone))
    waiting = len(launching.ready(hands, set())) - len(launching.free(hands, world.lanes))
    actions: list[Action] = []
    for worker in world.workers:
        is_asked = worker.launch.worker_id in memory.tried.asked_to_end_s
        if worker.launch.job.fills and worker.launch.worker_id not in gone:
            if waiting > 0 and not is_asked:
                memory, more = _ask_to_end(worker, world, memory, "a job of the pipeline waits for its lane")
                actions += more
            waiting -= 1
    return memory, actions


def _answers(world: World, jobs: Jobs, touched: set[str]) -> list[Action]:
    actions: list[Action] = []
    for request in world.requests:
        if request.kind not in KINDS or (request.kind != "cancel_job" and request.expires_at < world.now):
            why = f"no agent answers {request.kind!r}" if request.kind not in KINDS else "it had expired"
            actions.append(AnswerRequest(request.request_id, done=False, reason=why))
        if request.kind != "cancel_job" or request.target in touched:
            continue
        state = jobs.get(request.target)
        refusal = "there is no such job in this round" if state is None else f"it is {state.status} already"
        may = state is not None and not state.is_over and request.expires_at >= world.now
        if state is not None and may:
            actions.append(_end(state, "cancelled", f"cancelled by {request.asked_by}"))
        elif request.expires_at < world.now:
            refusal = "it had expired"
        actions.append(AnswerRequest(request.request_id, may, "cancelled" if may else refusal))
    return actions


# lanes ----------------------------------------------------------------------------------------------------------------


def _launches(
    world: World, memory: Memory, gone: set[str], actions: list[Action], limits: SwarmSettings
) -> tuple[list[Action], str]:
    """Return the launches of this cycle, and why other jobs wait.

    A job that this cycle already acts on is launched in a later cycle, when its new epoch is on record.
    """
    # A job that died through no fault of its own waits for nothing, and its lane is kept for its next worker.
    touched = {action.target for action in actions}
    again = {a.job_id for a in actions if isinstance(a, RecordDeath) and a.wait_s == 0}
    hands = LaneSupply(world, memory.blame, memory.tried.given_up, frozenset(gone), frozenset(again))
    starts, why = launching.starts(hands, touched, limits)
    return [LaunchWorker(s.job_id, s.lane.lane_id, s.cores, s.epoch, s.lane.gpu) for s in starts], why


OWNS = (
    LaunchWorker,
    ContinueWorker,
    EndWorker,
    KillWorker,
    RetireWorker,
    CompleteJob,
    EndJob,
    RecordDeath,
    AnswerRequest,
)
AGENT = Agent(Memory, decide, OWNS, frozenset({"code"}))
