"""Who is to blame when workers die: the job, the lane, or the whole environment; and how long to wait then.

One job that dies again and again without progress is poison, and is quarantined. A lane on which three jobs died while
none died elsewhere is left alone for a while. Jobs of several units dying side by side, and none completed in between,
is nobody's fault but the environment's (a broken library, no memory): then no job is counted against, and a single
canary is sent out from time to time until one comes back.
"""

import signal
from collections.abc import Iterable, Mapping

from agents.model.world import Worker
from config.record import dataclass, field, replace
from config.swarm import SwarmSettings
from state.records.workers import GPU_LOST

# What a process brings upon itself: a crash in a kernel is no operator's kill.
_OWN_SIGNALS = frozenset(
    int(number)
    for number in (
        *(signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP),
        *(signal.SIGSYS, signal.SIGXCPU, signal.SIGXFSZ),
    )
)
_JOBS = 3  # so many different jobs must have died before their lane, or the environment, is to blame
_CANARY_S = 600.0  # for a canary to be sent and to die
_MOST = 50  # deaths remembered


@dataclass(frozen=True)
class Death:
    """One that was the worker's own doing, or ours for good reason; `unit` is its symbol and mode."""

    job_id: str
    unit: str
    lane: str
    at_s: float


@dataclass(frozen=True)
class Blame:
    """Own deaths since the last completed job; lanes left alone (lane → until when); the canary's waits."""

    deaths: tuple[Death, ...] = ()
    lanes: Mapping[str, float] = field(default_factory=dict)
    storms: int = 0  # canaries that died in a row
    canary_at_s: float = 0.0  # before then none is sent

    @property
    def is_environment(self) -> bool:
        """Whether everybody dies, whatever the job."""
        jobs, units = {d.job_id for d in self.deaths}, {d.unit for d in self.deaths}
        return len(jobs) >= _JOBS and len(units) >= 2

    def words(self) -> str:
        """What is so, for an incident; nothing when nobody but single jobs is to blame."""
        if not self.is_environment:
            return ""
        jobs = len({d.job_id for d in self.deaths})
        return f"{len(self.deaths)} workers of {jobs} jobs died in a row and none came through"


def after_death(blame: Blame, worker: Worker, now_s: float, lanes: int, limits: SwarmSettings) -> Blame:
    """One more own death; from the environment's on, the next canary waits twice as long as the last."""
    job = worker.launch.job
    kept = tuple(d for d in blame.deaths if now_s - d.at_s <= limits.blame.healthy_after_s or blame.storms)[
        -_MOST + 1 :
    ]
    blame = replace(blame, deaths=(*kept, Death(job.job_id, " ".join(job.unit), worker.launch.lane, now_s)))
    if blame.is_environment:
        wait_s = backoff_s(blame.storms + 1, limits)
        return replace(blame, storms=blame.storms + 1, canary_at_s=now_s + wait_s)
    lane = _bad_lane(blame.deaths) if lanes > 1 else None  # the only one there is stays open
    return blame if lane is None else replace(blame, lanes={**blame.lanes, lane: now_s + limits.blame.backoff_max_s})


def after_completion(blame: Blame) -> Blame:
    """A job came through: what died before is no pattern any more."""
    return replace(blame, deaths=(), storms=0, canary_at_s=0.0)


def at(blame: Blame, now_s: float, limits: SwarmSettings) -> Blame:
    """What still holds now: a storm is over, too, when nobody has died for twice the longest wait."""
    lanes = {lane: until for lane, until in blame.lanes.items() if now_s < until}
    is_fresh = bool(blame.deaths) and now_s - blame.deaths[-1].at_s <= 2 * limits.blame.backoff_max_s + _CANARY_S
    deaths = blame.deaths if is_fresh or not blame.storms else ()
    return replace(blame, lanes=lanes, deaths=deaths, storms=blame.storms if deaths else 0)


def _bad_lane(deaths: Iterable[Death]) -> str | None:
    deaths = tuple(deaths)
    lanes = {d.lane for d in deaths}
    if len(lanes) != 1 or len({d.job_id for d in deaths}) < _JOBS:
        return None
    return lanes.pop()


def lost_its_gpu(worker: Worker) -> bool:
    """Whether it said that its device cannot be used: nothing the job could do about."""
    return bool(worker.launch.gpu) and worker.exit is not None and worker.exit.code == GPU_LOST


def without_lane(blame: Blame, worker: Worker, now_s: float, limits: SwarmSettings) -> Blame:
    """Its lane is left alone for the longest wait: the device may come back, and is not asked again before."""
    return replace(blame, lanes={**blame.lanes, worker.launch.lane: now_s + limits.blame.backoff_max_s})


def backoff_s(times: int, limits: SwarmSettings) -> float:
    """How long to wait after so many times in a row."""
    return float(min(limits.blame.backoff_max_s, limits.blame.backoff_s * 2 ** min(times - 1, 30)))


def waited_s(waits: int, limits: SwarmSettings) -> float:
    """How long a job has waited that waited so often in a row."""
    return sum(backoff_s(number, limits) for number in range(1, waits + 1))


def came_from_outside(worker: Worker) -> bool:
    """Whether somebody else ended it: it never counts against a job."""
    return worker.exit is None or (
        worker.exit.signal is not None and worker.exit.signal not in _OWN_SIGNALS and not worker.exit.oom
    )


def how(worker: Worker) -> str:
    """How it ended, in words."""
    if worker.exit is None:
        return "it is gone, and so is who watched it"
    if worker.exit.oom:
        return "killed by the kernel: out of memory"
    if worker.exit.signal is not None:
        return f"killed by signal {worker.exit.signal}"
    said = {
        3: "it could not go on (its log says why)",
        4: "a newer worker had taken over",
        GPU_LOST: "its GPU cannot be used (its log says why)",
    }
    return said.get(worker.exit.code or 0, f"exit code {worker.exit.code}")
