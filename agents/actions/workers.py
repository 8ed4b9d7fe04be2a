"""What worker_sentry can do to a worker."""

from agents.model.action import Action, Held
from agents.model.world import World
from config.record import dataclass


@dataclass(frozen=True)
class LaunchWorker(Action):
    """Journal first, then the launch record, then the process: cut short anywhere, the next cycle sees it."""

    kind = "launch_worker"
    expects = "it makes progress"
    on = "job_id"

    job_id: str
    lane: str
    cores: int
    epoch: int
    gpu: str = ""  # the UUID of the device it works on

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """The worker lives, or has ended and is about to be accounted for, or its job went on without it."""
        state = next((s for s in world.jobs if s.job.job_id == target), None)
        if state is None:
            return None
        return bool(world.workers_of(target)) or state.is_over or state.status == "pending"


@dataclass(frozen=True)
class ContinueWorker(Action):
    """SIGCONT to its tree."""

    kind = "continue_worker"
    expects = "it runs again"
    on = "worker_id"

    worker_id: str
    nonce: str
    silent_s: float | None  # for how long it had said nothing

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """The worker is no longer stopped."""
        life = _life(target, world)
        return None if life is None else life != "stopped"


@dataclass(frozen=True)
class EndWorker(Action):
    """SIGTERM to its tree, and CONT, because what is stopped does not hear."""

    kind = "end_worker"
    expects = "it ends by itself"
    on = "worker_id"

    worker_id: str
    nonce: str
    why: str


@dataclass(frozen=True)
class KillWorker(Action):
    """SIGKILL to its whole tree but its wrapper."""

    kind = "kill_worker"
    expects = "its tree is gone"
    on = "worker_id"

    worker_id: str
    nonce: str
    why: str

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """The worker is dead, or accounted for."""
        return _life(target, world) in (None, "dead")


@dataclass(frozen=True)
class RetireWorker(Action):
    """Its files go; the launch record last, so that a cycle that is cut short finds it again."""

    kind = "retire_worker"
    expects = "its launch record is gone"
    on = "worker_id"

    worker_id: str

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """Its launch record is gone."""
        return all(worker.launch.worker_id != target for worker in world.workers)


def _life(worker_id: str, world: World) -> str | None:
    return next((one.life for one in world.workers if one.launch.worker_id == worker_id), None)
