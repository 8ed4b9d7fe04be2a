"""When a worker that lives is to be ended: never for one look, never while the whole host is short of breath."""

from collections.abc import Mapping

from agents.model.world import Worker, World
from config.record import dataclass, field, replace
from config.swarm import SwarmSettings
from hooks import first_kernel_deadline

_READS = 2  # silence must be seen so often: one look may fall into a suspended moment
_APART_S = 7.5  # seconds, times the cadence scale, between looks that tell how much CPU somebody had
_HUNG_SHARE, _STARVED_SHARE = 0.02, 0.25  # of one core: below, it waits for ever; above, it spins; between, it queues
_STARVED_TIMES = 5  # who has to queue for its core is given so many times the patience
_TRIES = 3  # the most a rung is tried before the next


@dataclass(frozen=True)
class Tried:
    """What was tried with whom already, by worker id."""

    silent: Mapping[str, int] = field(default_factory=dict)  # how often it was seen silent in a row
    since: Mapping[str, tuple[float, float | None]] = field(
        default_factory=dict
    )  # first such look: when, CPU until then
    continued: Mapping[str, int] = field(default_factory=dict)
    asked_to_end_s: Mapping[str, float] = field(default_factory=dict)
    killed: Mapping[str, str] = field(default_factory=dict)  # why
    kills: Mapping[str, int] = field(default_factory=dict)  # how often KILL was sent
    given_up: Mapping[str, str] = field(default_factory=dict)  # it survives KILL; its lane stays closed

    def of(self, keep: set[str]) -> "Tried":
        """Without those that are gone."""
        return Tried(*({k: v for k, v in getattr(self, name).items() if k in keep} for name in self.__annotations__))

    def seen_silent(self, worker: Worker, now_s: float) -> "Tried":
        """Once more."""
        worker_id = worker.launch.worker_id
        silent = {**self.silent, worker_id: self.silent.get(worker_id, 0) + 1}
        return replace(self, silent=silent, since={worker_id: (now_s, worker.cpu_s)} | dict(self.since))

    def seen_alive(self, worker_id: str) -> "Tried":
        """The suspicion is gone."""
        silent = {k: v for k, v in self.silent.items() if k != worker_id}
        return replace(self, silent=silent, since={k: v for k, v in self.since.items() if k != worker_id})

    def was_continued(self, worker_id: str) -> "Tried":
        """It was."""
        return replace(self, continued={**self.continued, worker_id: self.continued.get(worker_id, 0) + 1})

    def was_asked(self, worker_id: str, now_s: float) -> "Tried":
        """It is given its grace from now on."""
        return replace(self, asked_to_end_s={**self.asked_to_end_s, worker_id: now_s})

    def was_killed(self, worker_id: str, why: str) -> "Tried":
        """Once more; the first reason stays."""
        return replace(
            self,
            killed={**self.killed, worker_id: self.killed.get(worker_id, why)},
            kills={**self.kills, worker_id: self.kills.get(worker_id, 0) + 1},
        )

    def has_survived(self, worker_id: str) -> bool:
        """Whether KILL was sent as often as makes sense."""
        return self.kills.get(worker_id, 0) >= _TRIES

    def give_up(self, worker_id: str, lane: str) -> "Tried":
        """Nothing more is sent; its lane stays closed until it is gone."""
        return replace(self, given_up={**self.given_up, worker_id: lane})


def is_suspect(worker: Worker, world: World, limits: SwarmSettings, has_excuse: bool = False) -> str:
    """Why it counts as hung at this look; nothing when it does not.

    `has_excuse`: its job is large, or its machine slow.
    """
    if world.control.host_starved or world.control.grace:
        return ""  # everything is late at once: that is the host's doing
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
    """Whether it was suspect at enough looks in a row, and not only for want of a core to run on."""
    worker_id = worker.launch.worker_id
    if tried.silent.get(worker_id, 0) < _READS:
        return False
    since_s, had_s = tried.since.get(worker_id, (world.now_s, None))
    if had_s is None or worker.cpu_s is None or worker.silent_s > _STARVED_TIMES * limits.hang.after_s:
        return True
    passed_s = world.now_s - since_s
    if passed_s < _APART_S * limits.agents.cadence_scale:
        return False
    return not _HUNG_SHARE <= (worker.cpu_s - had_s) / passed_s < _STARVED_SHARE


def may_be_continued(tried: Tried, worker_id: str) -> bool:
    """A stopped one is continued once; one that is stopped again is ended."""
    return not tried.continued.get(worker_id, 0)
