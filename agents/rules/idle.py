"""Why a device is idle and what a job waits for, as pure functions of one look, for `status` and `explain`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypedDict

from agents.model.world import Lane, World, gpu_lane_id
from agents.rules import queue as rules
from agents.rules import room
from config.swarm import SwarmSettings
from state.records.jobs import PHASES, JobState
from state.records.report_parts import Gpu

NO_GPU = "no GPU here: the plan is CPU only"


class DeviceRow(TypedDict):
    """A device as `status --json` holds it."""

    name: str
    kind: str
    state: str
    why: str
    job: str | None
    busy_pct: float | None


@dataclass(frozen=True)
class DeviceUse:
    """A lane or a GPU. `state` is busy, lent (another lane's worker uses its cores), idle or unknown."""

    name: str
    kind: str
    state: str
    why: str
    job: str | None = None
    busy_pct: float | None = None

    def as_json(self) -> DeviceRow:
        """Return the fields as `status --json` prints them."""
        return {
            "name": self.name,
            "kind": self.kind,
            "state": self.state,
            "why": self.why,
            "job": self.job,
            "busy_pct": self.busy_pct,
        }


def devices(world: World, limits: SwarmSettings) -> tuple[DeviceUse, ...]:
    """Return every lane, then every GPU; without a GPU, one entry that says so."""
    return (*_lanes(world, limits), *gpus(world, limits))


# lanes ----------------------------------------------------------------------------------------------------------------


def _lanes(world: World, limits: SwarmSettings) -> Iterable[DeviceUse]:
    # A worker with more cores than its lane uses the cores of idle lanes, which are then shown as lent.
    taken = {worker.launch.lane: worker for worker in world.workers}
    borrowers = [w for w in world.workers if w.launch.cores > _cores_of(w.launch.lane, world)]
    free_cores = sum(w.launch.cores - _cores_of(w.launch.lane, world) for w in borrowers)
    for lane in world.lanes:
        if lane.lane_id in taken:
            job = taken[lane.lane_id].launch.job
            yield DeviceUse(lane.lane_id, _kind(lane), "busy", f"works on {job.job_id}", job.job_id)
        elif free_cores >= lane.cores and borrowers:
            free_cores -= lane.cores
            job = borrowers[0].launch.job
            why = f"its cores help {job.job_id}: nothing else was ready"
            yield DeviceUse(lane.lane_id, _kind(lane), "lent", why, job.job_id)
        else:
            yield DeviceUse(lane.lane_id, _kind(lane), "idle", why_idle(lane, world, limits))


def why_idle(lane: Lane, world: World, limits: SwarmSettings) -> str:
    """Return why nothing runs on this lane. Reasons that concern the whole swarm come before those of this lane."""
    return (
        _nothing_may_run(world)
        or _nobody_starts(world, limits)
        or _no_room(world, limits)
        or _out_of_service(lane, world)
        or _not_wanted(world)
        or _next_job(world)
    )


def _nothing_may_run(world: World) -> str:
    if world.stopped:
        return "the operator stopped the swarm"
    if world.order is None:
        return "there is no run"
    return "the run is complete" if world.run_finished else ""


def _nobody_starts(world: World, limits: SwarmSettings) -> str:
    sentry = next((view for view in world.agents if view.agent == "worker_sentry"), None)
    if sentry is None or not sentry.is_stale(limits):
        return ""
    return "worker_sentry, which starts workers, does not cycle"


def _no_room(world: World, limits: SwarmSettings) -> str:
    shortage = room.shortage(world, limits)
    return f"the disk is full: {shortage} before work starts" if shortage else ""


def _out_of_service(lane: Lane, world: World) -> str:
    """Return why the sentry does not use the lane; "" when it does."""
    why = world.reports.worker_sentry.quarantined_lanes.get(lane.lane_id)
    if why is None:
        return ""
    return "the lane is quarantined" + (f": {why}" if why else "")


def _not_wanted(world: World) -> str:
    """Return that util_controller wants no more lanes busy than there are busy now; "" when it wants more."""
    report = world.reports.util_controller
    if report.lanes is None or len({w.launch.lane for w in world.workers}) < report.lanes:
        return ""
    why = f": {report.reason}" if report.reason else ""
    return f"util_controller wants {report.lanes} of {len(world.lanes)} lanes busy{why}"


def _next_job(world: World) -> str:
    """Return what the next job waits for: the sentry's next cycle, the end of a backoff, or the end of other jobs."""
    if ready := queue(world):
        held = _held_back(world)
        return f"{ready[0]} waits: {held}" if held else f"{ready[0]} starts here with the sentry's next cycle"
    dead = world.dead_units  # asked once, because it goes through all jobs
    waiting = [state for state in world.jobs if state.status == "pending" and state.job.unit not in dead]
    if waiting:
        first = min(waiting, key=lambda state: state.retry_at_s)
        return _backoff(first, world)
    return _alone(world)


def _held_back(world: World) -> str:
    """Return the sentry's reasons for starting no ready job, without the one that no lane is free: this lane is."""
    waits = world.reports.worker_sentry.waits.split("; ")
    return "; ".join(part for part in waits if not part.endswith(" for a lane"))


def _backoff(state: JobState, world: World) -> str:
    wait_s = max(0.0, state.retry_at_s - world.now_s)
    until = datetime.fromisoformat(world.now) + timedelta(seconds=wait_s)
    if state.waits:
        return f"{state.job.job_id}: {state.error_message} (at {until:%H:%M:%S} UTC)"
    died = f" after {state.deaths} deaths" if state.deaths > 1 else " after a death" if state.deaths else ""
    return f"backoff of job {state.job.job_id} until {until:%H:%M:%S} UTC ({wait_s:.0f} s){died}"


def _alone(world: World) -> str:
    """Return which running jobs must end before others can begin."""
    running = [state for state in world.jobs if state.status == "running"]
    if not running:
        return "no job is ready: auto_scheduler enqueues what comes next in its next cycle"
    units = dict.fromkeys(state.job.unit for state in running)
    return "no job is ready: " + "; ".join(_runs(unit, [s for s in running if s.job.unit == unit]) for unit in units)


def _runs(unit: tuple[str, str], running: list[JobState]) -> str:
    phase = max((state.job.phase for state in running), key=PHASES.index)
    mine = [state for state in running if state.job.phase == phase]
    name = " ".join(unit)
    if len(mine) > 1:
        return f"the last {len(mine)} {phase} jobs of {name} run"
    is_alone = mine[0].job.shards <= 1 or phase == "merge"
    return f"{phase} of {name} runs alone" if is_alone else f"the last {phase} job of {name} runs"


# jobs -----------------------------------------------------------------------------------------------------------------


def queue(world: World) -> tuple[str, ...]:
    """Return the ids of the jobs that are ready, in the order in which the sentry starts them."""
    return tuple(one.job.job_id for one in rules.ready(world))


def why_waits(state: JobState, world: World, limits: SwarmSettings, ready: Mapping[str, int] | None = None) -> str:
    """Return why a pending job does not run.

    `ready` holds the places in the queue; a caller that asks about many jobs computes them once.
    """
    # What holds up the whole swarm is the true reason, even if the job also waits for something of its own.
    held = _nothing_may_run(world) or _nobody_starts(world, limits) or _no_room(world, limits)
    if held:
        return held
    if not state.may_start(world.now_s):
        return _backoff(state, world)
    ready = places(world) if ready is None else ready
    if state.job.job_id not in ready:
        return _not_in_the_queue(state, world)
    free = {lane.lane_id for lane in world.lanes} - {worker.launch.lane for worker in world.workers}
    if free and not (wanted := _not_wanted(world)):
        return _held_back(world) or "the sentry starts it in its next cycle"
    before = ready[state.job.job_id]
    busy = wanted if free else f"all {len(world.lanes)} lanes are busy"
    return busy + (f", {before} {'job comes' if before == 1 else 'jobs come'} first" if before else ", it is the next")


def _not_in_the_queue(state: JobState, world: World) -> str:
    """Return why a job is not in the queue although its backoff is over."""
    if state.job.unit in world.dead_units:
        return f"{' '.join(state.job.unit)} has ended: another of its jobs did not end well"
    if state.job.fills:
        return "it only fills a lane: it starts when nothing else wants one"
    return "the study that it was to help with is complete"


def places(world: World) -> dict[str, int]:
    """Return for each ready job how many others the sentry would start before it."""
    return {job_id: number for number, job_id in enumerate(queue(world))}


# GPUs -----------------------------------------------------------------------------------------------------------------


def gpus(world: World, limits: SwarmSettings) -> tuple[DeviceUse, ...]:
    """Return every GPU as the watchdog saw it last. Without an answer of the driver a GPU is unknown, never idle."""
    found = world.control.gpus
    if found is None and not world.control.gpu_plan:
        return (DeviceUse("gpu", "gpu", "unknown", "the watchdog has not looked yet"),)
    if found is None:
        return (DeviceUse("gpu", "gpu", "unknown", "the driver gives no answer; no job is started on it"),)
    if not found:
        return (DeviceUse("gpu", "gpu", "idle", NO_GPU),)
    return tuple(_gpu(gpu, world, limits) for gpu in found)


def _gpu(gpu: Gpu, world: World, limits: SwarmSettings) -> DeviceUse:
    name, busy = gpu_lane_id(gpu), gpu.utilisation_pct
    mine = next((w for w in world.workers if w.launch.lane == name), None)
    if mine is not None:
        job = mine.launch.job.job_id
        # The driver's utilisation only says in which share of the time a kernel ran, so the throughput is shown, too.
        rate = f", {mine.rate_per_s:,.0f} combos/s" if mine.rate_per_s else ""
        return DeviceUse(name, "gpu", "busy", f"works on {job}{rate}", job, busy)
    lane = next((one for one in (*world.lanes, *world.gpu_lanes) if one.lane_id == name), None)
    if lane is not None:
        return DeviceUse(name, "gpu", "idle", why_idle(lane, world, limits), None, busy)
    others = f"; other processes use {busy:.0f} %" if busy else ""
    return DeviceUse(name, "gpu", "idle", (_nothing_may_run(world) or _unasked(gpu, world)) + others, None, busy)


def _unasked(gpu: Gpu, world: World) -> str:
    wanted = None if world.order is None else world.order.gpu
    if wanted is None or wanted == gpu.index:
        return "no lane uses it"
    return "this run uses no GPU (--gpu -1)" if wanted < 0 else f"this run uses GPU {wanted} alone (--gpu {wanted})"


def _kind(lane: Lane) -> str:
    return "gpu" if lane.lane_id.startswith("gpu") else "cpu"


def _cores_of(lane_id: str, world: World) -> int:
    return next((lane.cores for lane in world.lanes if lane.lane_id == lane_id), 1)
