"""A prescreen that takes many times its usual time: how to recognise it, its cause, and if a new worker would help.

What a job should take is its bar-combos over the usual speed of its kind (device, engine, family, space) on this
machine, the median of earlier prescreens that were not slow; before the first, a stated one. From
`swarm.hang.prescreen_slow_times` times that on, and never before `swarm.hang.prescreen_least_s`, it is slow: 30 s where
4 s are usual. Slow is an incident. It ends a worker only with evidence that a new one would be faster: a speed that was
measured and not stated, a machine that is not the cause, and two looks.
"""

from collections.abc import Mapping

from agents.model.world import Worker, World
from config.record import dataclass, field, replace
from config.swarm import SwarmSettings
from state.records.report_parts import Slow
from state.records.screening import Screening

_KEPT, _KINDS = 15, 40  # speeds of a kind, kinds
_LEAST_WORK_S = 1.0  # of computing: what took less says little about speed
_APART_S = 7.5  # seconds, times the cadence scale, between the looks that tell how much CPU somebody had
_STARVED_SHARE = 0.5  # of its cores; who gets less is slow for want of them
_HUNGRY_SHARE, _SURE_S = 0.1, 30.0  # on a busy machine shares come and go: far less than others, and for longer
_IDLE_PCT = 80.0  # of the machine's CPU in use; below, there are cores for whoever may run on them
_THROTTLED_PCT = 20.0  # of the quota's periods, as util_controller says
_TRIES = 2  # workers of a job that are replaced for being slow; then it is not the worker
_PAYS = 2.0  # times as long as a new worker must the old one need for the rest

# Bar-combos a second, a core or a device, before this machine has shown its own. GPU: 250,000 combos over 730 days in
# 4 s, the customer's. Cores: a sixth of what docs/reference/benchmarks.md measures on a current one.
_STATED = {"gpu": 13.14e9, "native": 0.5e9}
_STATED_FAMILIES = ("mtf_ema", "donchian")  # those that ship; of any other nothing is known before it was measured

_LEFT_ALONE = ("unclear", "machine_busy", "slow_everywhere")  # causes without evidence against the worker


@dataclass(frozen=True)
class Look:
    """The first look at a worker that is slow: when, and the CPU it had had by then."""

    at_s: float
    cpu_s: float | None


@dataclass(frozen=True)
class Pace:
    """Kind → speeds of earlier prescreens; job → what is slow, and how often a worker of it was replaced for that."""

    usual: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    slow: Mapping[str, Slow] = field(default_factory=dict)
    looks: Mapping[str, Look] = field(default_factory=dict)
    replaced: Mapping[str, int] = field(default_factory=dict)
    fast_at_s: Mapping[str, float] = field(default_factory=dict)  # kind → when the last was through that was not slow

    def usual_speed(self, kind: str) -> float | None:
        """Measured on this machine; None before there was one."""
        speeds = sorted(self.usual.get(kind, ()))
        return speeds[len(speeds) // 2] if speeds else None


def looked(pace: Pace, world: World, limits: SwarmSettings) -> Pace:
    """The pace after this look at all workers, without what is over or of an earlier round."""
    there = {worker.launch.worker_id for worker in world.workers}
    done = {state.job.job_id for state in world.jobs if state.status == "completed" and not world.run_finished}
    open_ = {state.job.job_id for state in world.jobs if state.epoch > 0 and not state.is_over}
    begun = {state.job.job_id for state in world.jobs if state.epoch > 0}  # not one that is called so in another run
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
    # One whose worker was replaced is slow until the new one is seen to be at work, and not late.
    well = {one.launch.job.job_id for one, said in slow if said is not None and one.done > said.began_done}
    pace = replace(pace, slow={job: one for job, one in pace.slow.items() if one.ended or job not in well})
    for worker, said in late:
        first = pace.looks.get(worker.launch.worker_id, Look(world.now_s, worker.cpu_s))
        if first.cpu_s is None:
            first = Look(world.now_s, worker.cpu_s)
        pace = replace(pace, looks={**pace.looks, worker.launch.worker_id: first})
        found = _judged(worker, said, pace, world, len(late), limits)
        pace = replace(pace, slow={**pace.slow, worker.launch.job.job_id: found})
    late_ids = {worker.launch.worker_id for worker, _ in late}
    return replace(pace, looks={worker: look for worker, look in pace.looks.items() if worker in late_ids})


def completed(pace: Pace, worker: Worker, now_s: float, limits: SwarmSettings) -> Pace:
    """A prescreen job is complete: its speed counts as usual, unless it was slow; then the job stays on the list until
    one of its kind is not."""
    said = {} if worker.result is None else worker.result.metrics.get("pace")
    if not isinstance(said, dict) or not isinstance(said.get("speed"), float) or worker.screening is None:
        return pace
    if said["speed"] <= 0:
        return pace
    kind, job, seconds = str(said["kind"]), worker.launch.job.job_id, float(said["seconds"])
    usual = expected_speed(pace, worker.screening)
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
    if seconds < _LEAST_WORK_S:
        return replace(pace, slow=slow)
    pace = replace(pace, fast_at_s={**pace.fast_at_s, kind: now_s})
    speeds = (*pace.usual.get(kind, ()), round(said["speed"]))[-_KEPT:]
    kept = dict(list({k: v for k, v in pace.usual.items() if k != kind}.items())[-_KINDS + 1 :])
    return replace(pace, slow=slow, usual={**kept, kind: speeds})


def to_replace(pace: Pace, worker: Worker) -> str:
    """Why a new worker is to replace this one; nothing when it stays."""
    found = pace.slow.get(worker.launch.job.job_id)
    is_it = found is not None and found.replace and not found.ended and found.worker_id == worker.launch.worker_id
    return found.what if found is not None and is_it else ""


def of_another_boot(pace: Pace) -> Pace:
    """After a reboot: monotonic times are dropped, speeds are kept."""
    return replace(pace, looks={}, fast_at_s={})


def asked_to_end(pace: Pace, worker: Worker) -> Pace:
    """Where it is for being slow: once more for this job."""
    job = worker.launch.job.job_id
    if not to_replace(pace, worker):
        return pace
    return replace(pace, replaced={**pace.replaced, job: pace.replaced.get(job, 0) + 1})


def excuses(pace: Pace, worker: Worker) -> bool:
    """Whether there is an excuse for a long time: it is as fast as is usual here, so the job is large; or it is
    known to be slow for a reason that a new worker would not change."""
    found = pace.slow.get(worker.launch.job.job_id)
    if found is not None and found.worker_id == worker.launch.worker_id:
        return not found.replace and found.cause not in ("unclear", "escalated")
    said = worker.screening
    return said is not None and worker.done > said.began_done and pace.usual_speed(said.kind) is not None


# how it is told -------------------------------------------------------------------------------------------------------


def expected_speed(pace: Pace, said: Screening) -> float | None:
    """Bar-combos a second and thread that a prescreen of this kind should have; None where nobody can say."""
    measured = pace.usual_speed(said.kind)
    if measured is not None:
        return measured
    return _STATED.get(said.engine) if said.family in _STATED_FAMILIES else None


def expected_s(worker: Worker, said: Screening, pace: Pace) -> float | None:
    """Seconds its share of the job should take."""
    usual = expected_speed(pace, said)
    return None if usual is None else (worker.total - said.began_done) * said.bars / (usual * said.threads)


def is_slow(worker: Worker, said: Screening, pace: Pace, world: World, limits: SwarmSettings) -> bool:
    """Whether it takes, or is going to take, so many times what it should."""
    usual_s = expected_s(worker, said, pace)
    if usual_s is None or worker.launch.job.phase != "prescreen" or worker.total <= said.began_done:
        return False
    bound_s = max(limits.hang.prescreen_slow_times * usual_s, limits.hang.prescreen_least_s)
    return (
        world.now_s - said.began_at_s > limits.hang.prescreen_least_s and _whole_s(worker, said, world.now_s) > bound_s
    )


def _whole_s(worker: Worker, said: Screening, now_s: float) -> float:
    """Seconds its share takes if it goes on as it does; its first batch, which may compile kernels, is taken once."""
    so_far_s, gained = now_s - said.began_at_s, worker.done - said.began_done
    if gained <= 0:
        return so_far_s
    since = worker.done - said.first_done
    if said.first_s is None or said.first_done <= said.began_done or since <= 0:
        return so_far_s * (worker.total - said.began_done) / gained
    return said.first_s + (so_far_s - said.first_s) * (worker.total - said.first_done) / since


# why it is so ---------------------------------------------------------------------------------------------------------


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
    if pace.usual_speed(kind) is None and cause != "gpu_fallback":
        return Slow(who, "unclear", f"{head}: {why}", "it goes on: no speed was measured on this machine yet", kind)
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
    """Causes that a new worker would not change: the first counts."""
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
        found.append(
            ("cold_kernels", why, "the next finds them compiled; if it does not, is NUMBA_CACHE_DIR writable?")
        )
    return found


def _is_cold(worker: Worker, said: Screening, world: World) -> bool:
    """Whether the first batch took most of the time, and what came after it went at least three times as fast."""
    if said.first_s is None or worker.done <= said.first_done or said.first_done <= said.began_done:
        return False
    after_s = world.now_s - said.began_at_s - said.first_s
    batch, since = said.first_done - said.began_done, worker.done - said.first_done
    return said.first_s > after_s and said.first_s / batch > 3.0 * max(after_s, 0.0) / since


def _of_worker(
    worker: Worker, said: Screening, pace: Pace, world: World, late: int, limits: SwarmSettings
) -> tuple[str, str]:
    """The worker itself, where it can be told; one of `_LEFT_ALONE` where it cannot be."""
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
    """One that gets little of its cores: because of itself, or of a machine that has no more."""
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
    """Whether one of its kind was through at the usual speed since it was first seen to be slow."""
    first = pace.looks.get(worker.launch.worker_id)
    return first is not None and pace.fast_at_s.get(said.kind, first.at_s - 1.0) >= first.at_s


def _of_kind(kind: str, world: World) -> list[Worker]:
    return [w for w in world.workers if w.life == "running" and w.screening is not None and w.screening.kind == kind]


def _share(worker: Worker, said: Screening, pace: Pace, world: World, limits: SwarmSettings) -> float | None:
    """How much of its cores it has had since the first look; None before there are two, far enough apart."""
    first = pace.looks.get(worker.launch.worker_id)
    if first is None or first.cpu_s is None or worker.cpu_s is None:
        return None
    passed_s = world.now_s - first.at_s
    if passed_s < _APART_S * limits.agents.cadence_scale or passed_s <= 0:
        return None
    return (worker.cpu_s - first.cpu_s) / passed_s / said.threads


def _pays(worker: Worker, said: Screening, pace: Pace, world: World, limits: SwarmSettings) -> bool:
    """Whether the rest takes a new worker much less time, its start and the batch under way included."""
    usual = expected_speed(pace, said)
    gained = worker.done - said.began_done
    if usual is None or gained <= 0:
        return True
    left = worker.total - worker.done
    mine_s = left * (world.now_s - said.began_at_s) / gained
    return mine_s > _PAYS * (
        left * said.bars / (usual * said.threads) + limits.use.start_credit_s * limits.agents.cadence_scale
    )
