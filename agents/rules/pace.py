"""Recognise a prescreen that takes many times its usual time, find the cause, and judge if a new worker would help.

A job's expected time is its bar-combos divided by the usual speed of its kind (device, engine, family, space) on this
machine. The usual speed is the median of earlier prescreens that were not slow; before the first one, a stated speed
counts. A job is slow from `swarm.hang.prescreen_slow_times` times its expected time on, and never before
`swarm.hang.prescreen_least_s`: for instance after 30 s where 4 s are usual. A slow job is an incident. Its worker is
ended only with evidence that a new one would be faster: the speed was measured and not stated, the machine is not the
cause, and two looks agree.
"""

from collections.abc import Mapping

from agents.model.world import Worker, World
from config.record import dataclass, field, replace
from config.swarm import SwarmSettings
from state.records.report_parts import Slow
from state.records.screening import Screening

_KEPT, _KINDS = 15, 40  # how many speeds are kept of each kind, and how many kinds
_LEAST_WORK_S = 1.0  # a prescreen that computed for less time says little about speed
_APART_S = 7.5  # seconds, times the cadence scale, between two looks that measure a worker's CPU time
_STARVED_SHARE = 0.5  # of its cores: a worker that gets less is slow because it lacks cores
_HUNGRY_SHARE, _SURE_S = 0.1, 30.0  # on a busy machine, shares vary: only far less, and for long, counts
_IDLE_PCT = 80.0  # of the machine's CPU in use: below, the machine has cores to spare
_THROTTLED_PCT = 20.0  # of the CPU quota's periods; util_controller uses the same bound
_TRIES = 2  # how many slow workers of a job are replaced; after that, the worker is not the cause
_PAYS = 2.0  # the old worker must need this many times as long for the rest as a new one

# Bar-combos a second of one GPU or one core, until this machine's own speed was measured. GPU: the requirement of
# 250,000 combos over 730 days in 4 s. Core: a sixth of what docs/reference/benchmarks.md measures on a current one.
_STATED = {"gpu": 13.14e9, "native": 0.5e9}
_STATED_FAMILIES = ("mtf_ema", "donchian")  # the families that ship; for others no speed is stated

_LEFT_ALONE = ("unclear", "machine_busy", "slow_everywhere")  # causes without evidence against the worker


@dataclass(frozen=True)
class Look:
    """The first look at which a worker was slow: its time, and the worker's CPU time by then."""

    at_s: float
    cpu_s: float | None


@dataclass(frozen=True)
class Pace:
    """What worker_sentry remembers about the speed of prescreens. All times are monotonic.

    `usual` maps a kind to the speeds of earlier prescreens, `slow` a job to its incident, `looks` a worker to the first
    look at which it was slow, and `replaced` a job to how many of its workers were replaced for being slow.
    """

    usual: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    slow: Mapping[str, Slow] = field(default_factory=dict)
    looks: Mapping[str, Look] = field(default_factory=dict)
    replaced: Mapping[str, int] = field(default_factory=dict)
    # kind → when its last job that was not slow was completed
    fast_at_s: Mapping[str, float] = field(default_factory=dict)

    def usual_speed(self, kind: str) -> float | None:
        """Return the median of the kind's measured speeds; None before the first measurement."""
        speeds = sorted(self.usual.get(kind, ()))
        return speeds[len(speeds) // 2] if speeds else None


def looked(pace: Pace, world: World, limits: SwarmSettings) -> Pace:
    """Return the pace after this look at all workers, without jobs that are over or of another round."""
    there = {worker.launch.worker_id for worker in world.workers}
    done = {state.job.job_id for state in world.jobs if state.status == "completed" and not world.run_finished}
    open_ = {state.job.job_id for state in world.jobs if state.epoch > 0 and not state.is_over}
    begun = {state.job.job_id for state in world.jobs if state.epoch > 0}  # a job of another run may have the same id
    pace = replace(
        pace,
        slow={
            job: one for job, one in pace.slow.items() if (job in done if one.ended else job in open_ and one.replace)
        },
        looks={worker: look for worker, look in pace.looks.items() if worker in there},
        replaced={job: times for job, times in pace.replaced.items() if job in begun},
    )
    slow = [(one, one.screening) for one in world.workers if one.life == "running" and one.result is None]
    late = [(one, said) for one, said in slow if said is not None and is_slow(one, said, pace, world, limits)]
    # A job whose worker was replaced stays slow until its new worker has made progress and is not late.
    well = {one.launch.job.job_id for one, said in slow if said is not None and one.done > said.began_done}
    pace = replace(pace, slow={job: one for job, one in pace.slow.items() if one.ended or job not in well})
    for worker, said in late:
        first = pace.looks.get(worker.launch.worker_id, Look(world.now_s, worker.cpu_s))
        # Without a CPU time at the first look nothing could ever be compared, so the first look begins again.
        if first.cpu_s is None:
            first = Look(world.now_s, worker.cpu_s)
        pace = replace(pace, looks={**pace.looks, worker.launch.worker_id: first})
        found = _judged(worker, said, pace, world, len(late), limits)
        pace = replace(pace, slow={**pace.slow, worker.launch.job.job_id: found})
    late_ids = {worker.launch.worker_id for worker, _ in late}
    return replace(pace, looks={worker: look for worker, look in pace.looks.items() if worker in late_ids})


def completed(pace: Pace, worker: Worker, now_s: float, limits: SwarmSettings) -> Pace:
    """Return the pace after a prescreen job was completed.

    Its speed counts as usual, unless the job was slow. A slow job stays listed until one of its kind is not slow.
    """
    said = {} if worker.result is None else worker.result.metrics.get("pace")
    if not isinstance(said, dict) or not isinstance(said.get("speed"), float) or worker.screening is None:
        return pace
    if said["speed"] <= 0:
        return pace
    kind, job, seconds = str(said["kind"]), worker.launch.job.job_id, float(said["seconds"])
    usual = expected_speed(pace, worker.screening)
    # A slow job must not lower the usual speed, or a machine that slows down would soon count as usual.
    if (
        usual is not None
        and seconds > limits.hang.prescreen_least_s
        and said["speed"] * limits.hang.prescreen_slow_times < usual
    ):
        before = pace.slow.get(job)
        what = f"{job} took {seconds:.0f} s, {usual / said['speed']:.1f} times as long as {_standard(pace, kind)}"
        cause = "slower" if before is None else before.cause
        remedy = "compare the next prescreen; look with: scripts/backtest-optimize explain --job " + job
        return replace(
            pace, slow={**pace.slow, job: Slow(worker.launch.worker_id, cause, what, remedy, kind, ended=True)}
        )
    ended = {other for other, one in pace.slow.items() if one.kind == kind and one.ended}
    slow = {other: one for other, one in pace.slow.items() if other not in ended and other != job}
    # A prescreen this short tells little about speed: most of it is starting and compiling.
    if seconds < _LEAST_WORK_S:
        return replace(pace, slow=slow)
    pace = replace(pace, fast_at_s={**pace.fast_at_s, kind: now_s})
    speeds = (*pace.usual.get(kind, ()), round(said["speed"]))[-_KEPT:]
    kept = dict(list({k: v for k, v in pace.usual.items() if k != kind}.items())[-_KINDS + 1 :])
    return replace(pace, slow=slow, usual={**kept, kind: speeds})


def to_replace(pace: Pace, worker: Worker) -> str:
    """Return why a new worker should replace this one; "" when it should not."""
    found = pace.slow.get(worker.launch.job.job_id)
    is_it = found is not None and found.replace and not found.ended and found.worker_id == worker.launch.worker_id
    return found.what if found is not None and is_it else ""


def of_another_boot(pace: Pace) -> Pace:
    """Return the pace after a reboot: monotonic times mean nothing any more and are dropped, speeds are kept."""
    return replace(pace, looks={}, fast_at_s={})


def asked_to_end(pace: Pace, worker: Worker) -> Pace:
    """Return the pace after the worker was asked to end: a replacement is counted, if being slow is the reason."""
    job = worker.launch.job.job_id
    if not to_replace(pace, worker):
        return pace
    return replace(pace, replaced={**pace.replaced, job: pace.replaced.get(job, 0) + 1})


def excuses(pace: Pace, worker: Worker) -> bool:
    """Whether the worker has an excuse for taking long.

    Either it is as fast as usual here, so the job is large, or it is slow for a reason that a new worker would not
    change.
    """
    found = pace.slow.get(worker.launch.job.job_id)
    if found is not None and found.worker_id == worker.launch.worker_id:
        return not found.replace and found.cause not in ("unclear", "escalated")
    said = worker.screening
    return said is not None and worker.done > said.began_done and pace.usual_speed(said.kind) is not None


# expected and projected times -----------------------------------------------------------------------------------------


def expected_speed(pace: Pace, said: Screening) -> float | None:
    """Return the bar-combos per second and thread that a prescreen of this kind should reach; None: unknown."""
    measured = pace.usual_speed(said.kind)
    if measured is not None:
        return measured
    return _STATED.get(said.engine) if said.family in _STATED_FAMILIES else None


def expected_s(worker: Worker, said: Screening, pace: Pace) -> float | None:
    """Return the seconds that the worker's share of the job should take; None when the speed is unknown."""
    usual = expected_speed(pace, said)
    return None if usual is None else (worker.total - said.began_done) * said.bars / (usual * said.threads)


def is_slow(worker: Worker, said: Screening, pace: Pace, world: World, limits: SwarmSettings) -> bool:
    """Whether the prescreen takes, or at its present pace will take, many times its expected time."""
    usual_s = expected_s(worker, said, pace)
    if usual_s is None or worker.launch.job.phase != "prescreen" or worker.total <= said.began_done:
        return False
    bound_s = max(limits.hang.prescreen_slow_times * usual_s, limits.hang.prescreen_least_s)
    return (
        world.now_s - said.began_at_s > limits.hang.prescreen_least_s and _whole_s(worker, said, world.now_s) > bound_s
    )


def _whole_s(worker: Worker, said: Screening, now_s: float) -> float:
    """Return the seconds that the worker's share takes at its present pace.

    The first batch may include compiling the kernels, so its time is counted as it is and not projected.
    """
    so_far_s, gained = now_s - said.began_at_s, worker.done - said.began_done
    if gained <= 0:
        return so_far_s
    since = worker.done - said.first_done
    if said.first_s is None or said.first_done <= said.began_done or since <= 0:
        return so_far_s * (worker.total - said.began_done) / gained
    return said.first_s + (so_far_s - said.first_s) * (worker.total - said.first_done) / since


# causes ---------------------------------------------------------------------------------------------------------------


def _judged(worker: Worker, said: Screening, pace: Pace, world: World, late: int, limits: SwarmSettings) -> Slow:
    job, kind, who = worker.launch.job.job_id, said.kind, worker.launch.worker_id
    head = f"{job} has computed for {world.now_s - said.began_at_s:.0f} s, about {expected_s(worker, said, pace):.0f} s"
    head += f" are {_standard(pace, kind)}"
    for cause, why, remedy in _of_machine(worker, said, world):
        return Slow(who, cause, f"{head}: {why}", remedy, kind)
    cause, why = _of_worker(worker, said, pace, world, late, limits)
    if cause in _LEFT_ALONE:
        remedy = "it goes on; it is looked at again in every cycle"
        return Slow(who, cause, f"{head}: {why}", remedy, kind)
    # A stated speed is only an estimate for an unknown machine: it may raise an incident, but ends no worker.
    if pace.usual_speed(kind) is None and cause != "gpu_fallback":
        return Slow(who, "unclear", f"{head}: {why}", "it goes on: no speed was measured on this machine yet", kind)
    # When the next worker is as slow again, the cause is not in the worker, and further replacements would only cost.
    if pace.replaced.get(job, 0) >= _TRIES:
        why = f"{pace.replaced[job]} workers of it were replaced and the next was as slow"
        remedy = "it goes on; scripts/backtest-optimize doctor looks for causes"
        return Slow(who, "escalated", f"{head}: {why}", remedy, kind)
    if not _pays(worker, said, pace, world, limits):
        return Slow(who, cause, f"{head}: {why}", "it goes on: the rest takes no longer than a new worker would", kind)
    remedy = "worker_sentry replaces its worker, which goes on at the last batch"
    return Slow(who, cause, f"{head}: {why}", remedy, kind, replace=True)


def _standard(pace: Pace, kind: str) -> str:
    return "usual here" if pace.usual_speed(kind) is not None else "stated for such a machine"


def _of_machine(worker: Worker, said: Screening, world: World) -> list[tuple[str, str, str]]:
    """Return the causes that a new worker would not change, as (cause, why, remedy); the first one counts."""
    found, control = [], world.control
    alone = "it goes on; no worker is ended for it"
    throttled, cores = control.throttled_pct, control.cores
    at_work = sum(one.launch.cores for one in world.workers if one.life == "running" and not one.launch.gpu)
    if control.host_starved or control.grace:
        found.append(("host_starved", "everything on this machine is late", alone))
    if throttled is not None and throttled > _THROTTLED_PCT:
        why = f"the container's CPU quota held it back in {throttled:.0f} % of its periods"
        found.append(("cpu_quota", why, f"{alone}; raise the quota, or set swarm.lanes.count to what it allows"))
    if cores and at_work > cores and not worker.launch.gpu:
        why = f"{at_work} threads of workers share {cores} cores"
        found.append(("oversubscribed", why, "util_controller takes a lane away"))
    if worker.launch.ooms:
        why = f"it holds few combos at a time since it ran out of memory, {worker.launch.ooms} times"
        found.append(("small_batches", why, f"{alone}; more memory, or a smaller swarm.lanes.count, makes it faster"))
    if _is_cold(worker, said, world):
        why = f"its first batch took {said.first_s:.0f} s, mostly to compile its kernels"
        found.append(("cold_kernels", why, "the next worker finds them compiled, if NUMBA_CACHE_DIR can be written"))
    return found


def _is_cold(worker: Worker, said: Screening, world: World) -> bool:
    """Whether the first batch took most of the time, and later batches went at least three times as fast."""
    if said.first_s is None or worker.done <= said.first_done or said.first_done <= said.began_done:
        return False
    after_s = world.now_s - said.began_at_s - said.first_s
    batch, since = said.first_done - said.began_done, worker.done - said.first_done
    return said.first_s > after_s and said.first_s / batch > 3.0 * max(after_s, 0.0) / since


def _of_worker(
    worker: Worker, said: Screening, pace: Pace, world: World, late: int, limits: SwarmSettings
) -> tuple[str, str]:
    """Return the cause in the worker itself, with its evidence; without such evidence, a cause in `_LEFT_ALONE`."""
    # This needs no measurement: a GPU job never falls back to another engine on purpose.
    if worker.launch.gpu and said.engine != "gpu":
        return "gpu_fallback", f"it screens with the engine {said.engine} on a GPU's lane"
    share = _share(worker, said, pace, world, limits)
    if share is None:
        return "unclear", "how much CPU it gets is known at the next look"
    is_alone_slow = (late == 1 and len(_of_kind(said.kind, world)) > 1) or _others_were_fast(worker, said, pace)
    words = f"it gets {100 * share:.0f} % of its core{'' if said.threads == 1 else 's'}"
    if share < _STARVED_SHARE:
        is_sure = share < _HUNGRY_SHARE and _looked_at_s(worker, pace, world) >= _SURE_S * limits.agents.cadence_scale
        return _of_starved(words, world, is_alone_slow and is_sure)
    if is_alone_slow:
        return "slow_worker", f"{words}, and others of its kind run at full speed"
    return "slow_everywhere", f"{words}, and no other of its kind runs faster"


def _of_starved(words: str, world: World, is_only_one: bool) -> tuple[str, str]:
    """Return the cause for a worker that gets little of its cores: it is held back, or the machine is busy."""
    used = world.control.cpu_pct
    if used is not None and used < _IDLE_PCT:
        return "held_back", f"{words} while the machine has cores to spare"
    if is_only_one:
        return "held_back", f"{words}, and others of its kind run at full speed"
    return "machine_busy", f"{words}: the machine's cores are busy with something else"


def _looked_at_s(worker: Worker, pace: Pace, world: World) -> float:
    first = pace.looks.get(worker.launch.worker_id)
    return 0.0 if first is None else world.now_s - first.at_s


def _others_were_fast(worker: Worker, said: Screening, pace: Pace) -> bool:
    """Whether another job of its kind was completed at the usual speed since this worker was first seen to be slow."""
    first = pace.looks.get(worker.launch.worker_id)
    return first is not None and pace.fast_at_s.get(said.kind, first.at_s - 1.0) >= first.at_s


def _of_kind(kind: str, world: World) -> list[Worker]:
    return [w for w in world.workers if w.life == "running" and w.screening is not None and w.screening.kind == kind]


def _share(worker: Worker, said: Screening, pace: Pace, world: World, limits: SwarmSettings) -> float | None:
    """Return the share of its cores that the worker got since the first look; None until that was long enough ago."""
    first = pace.looks.get(worker.launch.worker_id)
    if first is None or first.cpu_s is None or worker.cpu_s is None:
        return None
    passed_s = world.now_s - first.at_s
    if passed_s < _APART_S * limits.agents.cadence_scale or passed_s <= 0:
        return None
    return (worker.cpu_s - first.cpu_s) / passed_s / said.threads


def _pays(worker: Worker, said: Screening, pace: Pace, world: World, limits: SwarmSettings) -> bool:
    """Whether a new worker would do the rest in much less time, its start included."""
    usual = expected_speed(pace, said)
    gained = worker.done - said.began_done
    if usual is None or gained <= 0:
        return True
    left = worker.total - worker.done
    mine_s = left * (world.now_s - said.began_at_s) / gained
    return mine_s > _PAYS * (
        left * said.bars / (usual * said.threads) + limits.use.start_credit_s * limits.agents.cadence_scale
    )
