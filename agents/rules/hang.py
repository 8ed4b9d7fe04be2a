"""When a living worker counts as hung: never after a single look, never while the whole machine is starved."""

from collections.abc import Mapping

from agents.model.world import Worker, World
from config.record import dataclass, field, replace
from config.swarm import SwarmSettings
from hooks import first_kernel_deadline

_READS = 2  # looks at which a worker must be silent: a single look may fall right after a suspend
_APART_S = 7.5  # least seconds, times the cadence scale, between the two looks that measure a worker's CPU time
# Shares of one core: below the first a worker is blocked, from the second on it spins, in between it waits for a core.
_HUNG_SHARE, _STARVED_SHARE = 0.02, 0.25
_STARVED_TIMES = 5  # a worker that waits for a core may be silent this many times as long (`hang.after_s`)
_TRIES = 3  # how often SIGKILL is sent before a worker is given up


@dataclass(frozen=True)
class Tried:
    """What was already tried with each worker, by its id."""

    silent: Mapping[str, int] = field(default_factory=dict)  # at how many looks in a row it was suspect (`is_suspect`)
    since: Mapping[str, tuple[float, float | None]] = field(
        default_factory=dict
    )  # the first such look: its time, and the worker's CPU time by then
    continued: Mapping[str, int] = field(default_factory=dict)  # how often SIGCONT was sent
    asked_to_end_s: Mapping[str, float] = field(default_factory=dict)  # when SIGTERM was sent, monotonic
    killed: Mapping[str, str] = field(default_factory=dict)  # why SIGKILL was sent
    kills: Mapping[str, int] = field(default_factory=dict)  # how often SIGKILL was sent
    # workers that survive SIGKILL → their lanes, which stay closed
    given_up: Mapping[str, str] = field(default_factory=dict)

    def of(self, keep: set[str]) -> "Tried":
        """Return the same without the workers that are not in `keep`."""
        return Tried(*({k: v for k, v in getattr(self, name).items() if k in keep} for name in self.__annotations__))

    def seen_silent(self, worker: Worker, now_s: float) -> "Tried":
        """Count one more look at which the worker was suspect; the first is remembered with the worker's CPU time."""
        worker_id = worker.launch.worker_id
        silent = {**self.silent, worker_id: self.silent.get(worker_id, 0) + 1}
        return replace(self, silent=silent, since={worker_id: (now_s, worker.cpu_s)} | dict(self.since))

    def seen_alive(self, worker_id: str) -> "Tried":
        """Forget the suspect looks at the worker, because it is suspect no more."""
        silent = {k: v for k, v in self.silent.items() if k != worker_id}
        return replace(self, silent=silent, since={k: v for k, v in self.since.items() if k != worker_id})

    def was_continued(self, worker_id: str) -> "Tried":
        """Count one more SIGCONT to the worker."""
        return replace(self, continued={**self.continued, worker_id: self.continued.get(worker_id, 0) + 1})

    def was_asked(self, worker_id: str, now_s: float) -> "Tried":
        """Remember that the worker was asked to end; its grace begins now."""
        return replace(self, asked_to_end_s={**self.asked_to_end_s, worker_id: now_s})

    def was_killed(self, worker_id: str, why: str) -> "Tried":
        """Count one more SIGKILL to the worker; the reason of the first is kept."""
        return replace(
            self,
            killed={**self.killed, worker_id: self.killed.get(worker_id, why)},
            kills={**self.kills, worker_id: self.kills.get(worker_id, 0) + 1},
        )

    def has_survived(self, worker_id: str) -> bool:
        """Whether the worker lives although SIGKILL was sent as often as makes sense."""
        return self.kills.get(worker_id, 0) >= _TRIES

    def give_up(self, worker_id: str, lane: str) -> "Tried":
        """Send the worker no further signals, and keep its lane closed until it is gone."""
        return replace(self, given_up={**self.given_up, worker_id: lane})


def is_suspect(worker: Worker, world: World, limits: SwarmSettings, has_excuse: bool = False) -> str:
    """Return why the worker seems hung in this cycle; "" when it does not.

    With `has_excuse` (a large job, or a slow machine), a prescreen may take longer than its budget.
    """
    # After a suspend or an absence of the watchdog, every age is too large for a while.
    if world.control.host_starved or world.control.grace:
        return ""  # everything is late at once, so the machine is to blame and no single worker
    if worker.silent_s > limits.hang.after_s:
        return f"no progress for {worker.silent_s:.0f} s"
    if worker.launch.job.phase != "prescreen":
        return ""
    gate = first_kernel_deadline.judge(worker.done, worker.age_s, limits.hang.first_kernel_s)
    if not gate.passed:
        return gate.reason
    if worker.age_s > limits.hang.prescreen_budget_s and not has_excuse:
        return f"it has taken {worker.age_s:.0f} s, its budget is {limits.hang.prescreen_budget_s:.0f} s"
    return ""


def is_proven(tried: Tried, worker: Worker, world: World, limits: SwarmSettings) -> bool:
    """Whether the worker was suspect at enough looks in a row, and not only because it got no core to run on."""
    worker_id = worker.launch.worker_id
    if tried.silent.get(worker_id, 0) < _READS:
        return False
    since_s, had_s = tried.since.get(worker_id, (world.now_s, None))
    if had_s is None or worker.cpu_s is None or worker.silent_s > _STARVED_TIMES * limits.hang.after_s:
        return True
    # A blocked worker uses no CPU, and one that spins uses a whole core. A share in between is that of a worker that
    # waits for a core.
    passed_s = world.now_s - since_s
    if passed_s < _APART_S * limits.agents.cadence_scale:
        return False
    return not _HUNG_SHARE <= (worker.cpu_s - had_s) / passed_s < _STARVED_SHARE


def may_be_continued(tried: Tried, worker_id: str) -> bool:
    """Whether a stopped worker may be continued: only once. A worker that is stopped again is killed."""
    return not tried.continued.get(worker_id, 0)
