"""What can be done to jobs, rounds and runs."""

from typing import Any

from agents.model.action import Action, Held
from agents.model.world import World
from config.record import dataclass
from state.records.jobs import Status


@dataclass(frozen=True)
class CompleteJob(Action):
    """Into the journal; the scheduler is told."""

    kind = "complete_job"
    expects = "the job is completed"
    on = "job_id"

    job_id: str
    metrics: dict[str, Any]
    gates: tuple[dict[str, Any], ...]

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """A job that was completed, ended, or recorded as dead no longer runs under the epoch it had."""
        return _is_over(target, world)


@dataclass(frozen=True)
class EndJob(Action):
    """Into the journal; the scheduler is told."""

    kind = "end_job"
    expects = "the job is …"
    on = "job_id"

    job_id: str
    status: Status
    error_message: str
    gates: tuple[dict[str, Any], ...] = ()

    @property
    def expected(self) -> str:
        """See `Action`."""
        return f"the job is {self.status}"

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """A job that was completed, ended, or recorded as dead no longer runs under the epoch it had."""
        return _is_over(target, world)


@dataclass(frozen=True)
class RecordDeath(Action):
    """Into the journal; without a backoff the next cycle comes at once."""

    kind = "record_death"
    expects = "the job is pending again"
    on = "job_id"

    job_id: str
    reason: str
    deaths: int
    last_done: int
    wait_s: float
    worker_id: str
    oom: bool | None = None  # None: its worker is not known
    waits: int | None = None  # how often it has waited for what may pass by itself; None: it does not

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """A job that was completed, ended, or recorded as dead no longer runs under the epoch it had."""
        return None if _is_over(target, world) is None else True


@dataclass(frozen=True)
class EnqueueJobs(Action):
    """Into the journal of their round; the sentry is told."""

    kind = "enqueue_jobs"
    expects = "the jobs are in the journal; the round is under way"

    run_id: str
    round: int
    jobs: tuple[dict[str, Any], ...]
    dropped: dict[str, str]
    fills: dict[str, list[int]] | None = None  # of a new round alone, as the next
    holdouts: dict[str, Any] | None = None

    @property
    def _is_new_round(self) -> bool:
        return self.fills is not None

    @property
    def target(self) -> str:
        """See `Action`."""
        return f"round {self.round + 1}" if self._is_new_round else self.run_id

    @property
    def expected(self) -> str:
        """See `Action`."""
        return "the round is under way" if self._is_new_round else "the jobs are in the journal"

    @property
    def arguments(self) -> dict[str, Any]:
        """See `Action`."""
        return {name: value for name, value in super().arguments.items() if name != "run_id"}

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """The round under way has jobs."""
        return bool(world.jobs) or world.run_finished


@dataclass(frozen=True)
class RestartUnits(Action):
    """Compute units anew with the code that is there now: our files of theirs go, their jobs begin again.

    In this order, so that one cut short is decided on again: the round says which code it is only at the end. While a
    worker of theirs is there it is refused: what runs ends first. Those named in `left` survived KILL, which they will
    die of before they do anything else.
    """

    kind = "restart_units"
    expects = "the round goes on with the new code"

    units: tuple[tuple[str, str], ...]
    code: str
    left: tuple[str, ...]

    @property
    def target(self) -> str:
        """See `Action`."""
        return self.code

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """The round is one of the new code."""
        return None if not world.round_code else world.round_code == target


@dataclass(frozen=True)
class FinishRun(Action):
    """The run's last record."""

    kind = "finish_run"
    expects = "the run is marked complete"
    on = "run_id"

    run_id: str
    rounds: int
    completed: tuple[str, ...]
    failed: dict[str, str]
    why: str

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """The run is marked complete."""
        return world.run_finished


def _is_over(job_id: str, world: World) -> Held:
    state = next((s for s in world.jobs if s.job.job_id == job_id), None)
    return None if state is None else state.is_over
