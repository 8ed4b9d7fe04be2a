"""Decide what is to blame when workers die (the job, the lane, or the whole environment), and how long to wait.

A job whose workers die again and again without progress is quarantined. A lane on which three jobs died, while none
died elsewhere, is closed for a while. When jobs of several units die and none leaves a result in between, the
environment is to blame (a broken library, too little memory). During such a *storm* no death counts against a job, and
from time to time a single worker, the canary, is started, until one leaves a result.
"""

import signal
from collections.abc import Iterable, Mapping

from agents.model.world import Worker
from config.record import dataclass, field, replace
from config.swarm import SwarmSettings
from state.records.workers import GPU_LOST

# Signals that a process causes itself. A crash in compiled code counts against the job; an operator's kill does not.
_OWN_SIGNALS = frozenset(
    int(number)
    for number in (
        *(signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP),
        *(signal.SIGSYS, signal.SIGXCPU, signal.SIGXFSZ),
    )
)
_JOBS = 3  # how many different jobs must have died before their lane, or the environment, is to blame
_CANARY_S = 600.0  # seconds that a canary may take to be started and to die
_MOST = 50  # how many deaths are remembered


@dataclass(frozen=True)
class Death:
    """An own death: the worker caused it itself, or the swarm killed it for a fault. `unit` is "SYMBOL MODE"."""

    job_id: str
    unit: str
    lane: str
    at_s: float


@dataclass(frozen=True)
class Blame:
    """The own deaths since the last worker with a result, the closed lanes (lane → monotonic end), and the storm."""

    deaths: tuple[Death, ...] = ()
    lanes: Mapping[str, float] = field(default_factory=dict)
    storms: int = 0  # own deaths in this storm, of which each doubles the wait for the next canary; 0: no storm
    canary_at_s: float = 0.0  # monotonic; no canary is started before

    @property
    def is_environment(self) -> bool:
        """Whether workers die whatever their job: three jobs at least, of two units at least."""
        # Two units at least: a space whose code crashes would kill every job of one unit.
        jobs, units = {d.job_id for d in self.deaths}, {d.unit for d in self.deaths}
        return len(jobs) >= _JOBS and len(units) >= 2

    def words(self) -> str:
        """Return the sentence for an incident; "" unless the environment is to blame."""
        if not self.is_environment:
            return ""
        jobs = len({d.job_id for d in self.deaths})
        return f"{len(self.deaths)} workers of {jobs} jobs died in a row and none came through"


def after_death(blame: Blame, worker: Worker, now_s: float, lanes: int, limits: SwarmSettings) -> Blame:
    """Return the blame after one more own death.

    Once the environment is to blame, each further death doubles the wait before the next canary.
    """
    job = worker.launch.job
    # Old deaths are no pattern any more, unless a storm is under way, in which canaries are far apart.
    kept = tuple(d for d in blame.deaths if now_s - d.at_s <= limits.blame.healthy_after_s or blame.storms)[
        -_MOST + 1 :
    ]
    blame = replace(blame, deaths=(*kept, Death(job.job_id, " ".join(job.unit), worker.launch.lane, now_s)))
    if blame.is_environment:
        wait_s = backoff_s(blame.storms + 1, limits)
        return replace(blame, storms=blame.storms + 1, canary_at_s=now_s + wait_s)
    lane = _bad_lane(blame.deaths) if lanes > 1 else None  # a lane that is the only one is never closed
    return blame if lane is None else replace(blame, lanes={**blame.lanes, lane: now_s + limits.blame.backoff_max_s})


def after_completion(blame: Blame) -> Blame:
    """Return the blame after a worker left a result, completed or failed: earlier deaths are no pattern any more."""
    return replace(blame, deaths=(), storms=0, canary_at_s=0.0)


def at(blame: Blame, now_s: float, limits: SwarmSettings) -> Blame:
    """Return what still holds now. A storm is over when twice the longest wait has passed without another death."""
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
    """Whether the worker's exit code says that its GPU cannot be used. The job is not to blame for that."""
    return bool(worker.launch.gpu) and worker.exit is not None and worker.exit.code == GPU_LOST


def without_lane(blame: Blame, worker: Worker, now_s: float, limits: SwarmSettings) -> Blame:
    """Return the blame with the worker's lane closed for the longest wait, after which its GPU may have come back."""
    return replace(blame, lanes={**blame.lanes, worker.launch.lane: now_s + limits.blame.backoff_max_s})


def backoff_s(times: int, limits: SwarmSettings) -> float:
    """Return the seconds to wait after this many failures in a row: they double each time, up to `backoff_max_s`."""
    return float(min(limits.blame.backoff_max_s, limits.blame.backoff_s * 2 ** min(times - 1, 30)))


def waited_s(waits: int, limits: SwarmSettings) -> float:
    """Return the seconds that a job has waited in all when it has waited this often in a row."""
    return sum(backoff_s(number, limits) for number in range(1, waits + 1))


def came_from_outside(worker: Worker) -> bool:
    """Whether the worker was ended from outside; such a death never counts against its job.

    So was a worker without an exit file: the machine or the container ended its wrapper, too.
    """
    return worker.exit is None or (
        worker.exit.signal is not None and worker.exit.signal not in _OWN_SIGNALS and not worker.exit.oom
    )


def how(worker: Worker) -> str:
    """Return how the worker ended, in words for the job journal and the operator."""
    if worker.exit is None:
        return "the worker and the wrapper that watched it are gone"
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
