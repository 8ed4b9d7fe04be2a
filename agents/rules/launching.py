"""Which jobs start on which lanes now: the queue is matched with the free lanes, unless something forbids any start."""

from collections.abc import Mapping

from agents.model.world import Lane, World
from agents.rules import queue, room
from agents.rules.blame import Blame
from config.record import dataclass, field
from config.swarm import SwarmSettings
from state.records.jobs import SCREENS, JobState


@dataclass(frozen=True)
class LaneSupply:
    """What worker_sentry knows in one cycle when it gives out lanes."""

    world: World
    blame: Blame
    given_up: Mapping[str, str]  # workers that survive SIGKILL → their lanes, which stay closed
    gone: frozenset[str]  # workers whose end is accounted for in this cycle
    again: frozenset[str] = field(default_factory=frozenset)  # jobs that died through no fault of their own


@dataclass(frozen=True)
class Start:
    """A job that starts on a lane, with a number of cores."""

    lane: Lane
    state: JobState
    cores: int

    @property
    def job_id(self) -> str:
        """The id of the job."""
        return self.state.job.job_id

    @property
    def epoch(self) -> int:
        """The epoch of the job's new worker: one more than that of its last worker."""
        return self.state.epoch + 1


def starts(hands: LaneSupply, touched: set[str], limits: SwarmSettings) -> tuple[list[Start], str]:
    """Return the jobs that start now, and why the others do not; "" when none has to wait.

    `touched` holds the ids of jobs on which this cycle already decided another action.
    """
    world = hands.world
    if why := _nothing_starts(world, limits):
        return [], why
    free_lanes = free(hands, world.lanes)
    wanted, fills = (ready(hands, touched, fills=fills) for fills in (False, True))
    if hands.blame.is_environment:
        return _canary(hands, free_lanes, wanted)
    # GPUs choose first: a prescreen that a GPU takes must not occupy a CPU lane as well.
    on_gpus = _on_gpus(free(hands, world.gpu_lanes), wanted, fills)
    taken = {start.job_id for start in on_gpus}
    wanted, fills = ([s for s in some if s.job.job_id not in taken] for some in (wanted, fills))
    for_cpu = [state for state in wanted if not _must_have_gpu(state, world)]
    # Filling jobs get only lanes that the pipeline leaves free.
    more = [state for state in fills if not _must_have_gpu(state, world)] if len(for_cpu) < len(free_lanes) else []
    on_cores = _on_cores(free_lanes, [*for_cpu, *more])
    waiting, without = len(for_cpu) - min(len(for_cpu), len(free_lanes)), len(wanted) - len(for_cpu)
    reasons = [f"{waiting} jobs wait for a lane"] if waiting else []
    reasons += [f"{without} jobs wait for {_wanted_gpu(world)}"] if without else []
    return [*on_gpus, *on_cores], "; ".join(reasons)


def free(hands: LaneSupply, lanes: tuple[Lane, ...]) -> list[Lane]:
    """Return the free lanes. The lane of a job that died through no fault of its own is kept for its next worker."""
    taken = {
        worker.launch.lane
        for worker in hands.world.workers
        if worker.launch.worker_id not in hands.gone or worker.launch.job.job_id in hands.again
    }
    closed = taken | set(hands.blame.lanes) | set(hands.given_up.values())
    return [lane for lane in lanes if lane.lane_id not in closed]


def ready(hands: LaneSupply, touched: set[str], *, fills: bool = False) -> list[JobState]:
    """Return the jobs that may start now, are not touched and have no worker, in the order of the queue."""
    world = hands.world
    return [
        state
        for state in (queue.fills(world) if fills else queue.ready(world))
        if state.job.job_id not in touched
        and all(w.launch.worker_id in hands.given_up for w in world.workers_of(state.job.job_id))
    ]


def why_closed(lane: str) -> str:
    """Return why a lane that is to blame is closed."""
    return "its GPU could not be used" if lane.startswith("gpu") else "only jobs on this lane died"


def _nothing_starts(world: World, limits: SwarmSettings) -> str:
    """Return why no worker at all may be started now; "" when workers may be started."""
    if world.stopped:
        return "the operator stopped the swarm"
    if world.order is None:
        return "there is no run"
    if world.run_finished:
        return "the run is complete"
    if world.outdated:
        return "the code has changed: workers finish their jobs, then units that are not reported begin again with it"
    if shortage := room.shortage(world, limits):
        return f"nothing is started: the disk is full ({shortage})"
    return ""


def _canary(hands: LaneSupply, free_lanes: list[Lane], wanted: list[JobState]) -> tuple[list[Start], str]:
    """Return the one start that is allowed while the environment is to blame; none before the canary's wait is over."""
    world, blame = hands.world, hands.blame
    reason = f"{blame.words()}: one at a time is tried"
    if world.now_s < blame.canary_at_s:
        return [], f"{reason}, the next in {blame.canary_at_s - world.now_s:.0f} s"
    at_work = [one for one in world.workers if one.launch.worker_id not in hands.given_up]
    # Where every job needs a GPU, one of them is the canary; otherwise such a storm would never end.
    for_cpu = [state for state in wanted if not _must_have_gpu(state, world)]
    lanes, states = (free_lanes, for_cpu) if for_cpu else (free(hands, world.gpu_lanes), wanted)
    if at_work or not lanes or not states:
        return [], reason
    return [Start(lanes[0], min(states, key=lambda state: state.deaths), lanes[0].cores)], reason


def _on_gpus(free_lanes: list[Lane], wanted: list[JobState], fills: list[JobState]) -> list[Start]:
    """Return a start for each free GPU: a prescreen of the pipeline, or else one that only fills."""
    screens = (state for state in (*wanted, *fills) if state.job.phase in SCREENS)
    return [Start(lane, state, lane.cores) for lane, state in zip(free_lanes, screens, strict=False)]


def _on_cores(free_lanes: list[Lane], wanted: list[JobState]) -> list[Start]:
    """Return a start for each free lane while there are jobs; the cores of lanes that stay idle are shared out."""
    pairs = list(zip(free_lanes, wanted, strict=False))
    spare = len(free_lanes) // len(pairs) if pairs else 1
    return [Start(lane, state, lane.cores * _share(state, spare)) for lane, state in pairs]


def _share(state: JobState, spare: int) -> int:
    """Return how many lanes' cores a job can use. Only a prescreen and a validation compute in several threads."""
    return spare if state.job.phase in ("prescreen", "validate") else 1


def _must_have_gpu(state: JobState, world: World) -> bool:
    """Whether the job may run on a GPU only: a prescreen ordered with `--engine gpu` never falls back to a CPU."""
    return world.order is not None and world.order.engine == "gpu" and state.job.phase in SCREENS


def _wanted_gpu(world: World) -> str:
    if world.order is None or world.order.gpu is None:
        return f"one of {len(world.gpu_lanes)} GPUs"
    return f"GPU {world.order.gpu}" + ("" if world.gpu_lanes else ", which is not there")
