"""The actions of worker_sentry on a worker."""

from agents.model.action import Action, Held
from agents.model.world import World
from config.record import dataclass


@dataclass(frozen=True)
class LaunchWorker(Action):
    """Start a worker: first the journal entry, then the launch record, then the process. When the launch is cut short,
    the next cycle sees how far it got.
    """

    kind = "launch_worker"
    expects = "it makes progress"
    on = "job_id"

    job_id: str
    lane: str
    cores: int
    epoch: int
    gpu: str = ""  # the UUID of the GPU that the worker computes on; "": none

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """The job has a worker, living or not yet accounted for; or the job is over, or pending again."""
        state = next((s for s in world.jobs if s.job.job_id == target), None)
        if state is None:
            return None
        return bool(world.workers_of(target)) or state.is_over or state.status == "pending"


@dataclass(frozen=True)
class ContinueWorker(Action):
    """Send SIGCONT to the worker and all its child processes."""

    kind = "continue_worker"
    expects = "it runs again"
    on = "worker_id"

    worker_id: str
    nonce: str
    silent_s: float | None  # for how long it had made no progress

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """The worker is no longer stopped."""
        life = _life(target, world)
        return None if life is None else life != "stopped"


@dataclass(frozen=True)
class EndWorker(Action):
    """Send SIGTERM and SIGCONT to the worker and its child processes; a stopped process would not handle SIGTERM."""

    kind = "end_worker"
    expects = "it ends by itself"
    on = "worker_id"

    worker_id: str
    nonce: str
    why: str


@dataclass(frozen=True)
class KillWorker(Action):
    """Send SIGKILL to the worker and all its child processes, but not to its wrapper, which records the end."""

    kind = "kill_worker"
    expects = "its tree is gone"
    on = "worker_id"

    worker_id: str
    nonce: str
    why: str

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """The worker is dead, or its launch record is gone."""
        return _life(target, world) in (None, "dead")


@dataclass(frozen=True)
class RetireWorker(Action):
    """Remove the worker's files, the launch record last: after a cycle that was cut short, the next finds it again."""

    kind = "retire_worker"
    expects = "its launch record is gone"
    on = "worker_id"

    worker_id: str

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """The worker's launch record is gone."""
        return all(worker.launch.worker_id != target for worker in world.workers)


def _life(worker_id: str, world: World) -> str | None:
    return next((one.life for one in world.workers if one.launch.worker_id == worker_id), None)
