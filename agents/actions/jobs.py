"""The actions on jobs, rounds and runs."""

from typing import Any

from agents.model.action import Action, Held
from agents.model.world import World
from config.record import dataclass
from state.records.jobs import Status


@dataclass(frozen=True)
class CompleteJob(Action):
    """Record the job as completed in the job journal, and wake the scheduler."""

    kind = "complete_job"
    expects = "the job is completed"
    on = "job_id"

    job_id: str
    metrics: dict[str, Any]
    gates: tuple[dict[str, Any], ...]

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """The job is over. A job that only fills a lane is not looked at."""
        return _is_over(target, world)


@dataclass(frozen=True)
class EndJob(Action):
    """Record in the job journal that the job has failed, or was cancelled or quarantined, and wake the scheduler."""

    kind = "end_job"
    expects = "the job is …"
    on = "job_id"

    job_id: str
    status: Status
    error_message: str
    gates: tuple[dict[str, Any], ...] = ()

    @property
    def expected(self) -> str:
        """The job has the status that this action gives it."""
        return f"the job is {self.status}"

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """The job is over. A job that only fills a lane is not looked at."""
        return _is_over(target, world)


@dataclass(frozen=True)
class RecordDeath(Action):
    """Record the worker's death in the job journal. Without a backoff, the next cycle comes at once."""

    kind = "record_death"
    expects = "the job is pending again"
    on = "job_id"

    job_id: str
    reason: str
    deaths: int
    last_done: int
    wait_s: float
    worker_id: str
    oom: bool | None = None  # whether its worker was killed for lack of memory; None: unknown
    waits: int | None = None  # how often in a row the job waited for an obstacle that may pass; None: it does not wait

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """The job is in the journal. Its status tells nothing: its next worker may run by then."""
        return None if _is_over(target, world) is None else True


@dataclass(frozen=True)
class EnqueueJobs(Action):
    """Add these jobs to the job journal of their round, and wake the sentry. A new round is put on record first."""

    kind = "enqueue_jobs"
    expects = "the jobs are in the journal; the round is under way"

    run_id: str
    round: int
    jobs: tuple[dict[str, Any], ...]
    dropped: dict[str, str]
    # These two are given only when the action begins a new round; None otherwise. Both are by unit ("SYMBOL MODE").
    fills: dict[str, list[int]] | None = None
    holdouts: dict[str, Any] | None = None

    @property
    def _is_new_round(self) -> bool:
        return self.fills is not None

    @property
    def target(self) -> str:
        """The new round, or else the run that gets further jobs."""
        return f"round {self.round + 1}" if self._is_new_round else self.run_id

    @property
    def expected(self) -> str:
        """A new round is under way, or the further jobs are in the journal."""
        return "the round is under way" if self._is_new_round else "the jobs are in the journal"

    @property
    def arguments(self) -> dict[str, Any]:
        """All fields but the run's id, which recorded decisions do not hold."""
        return {name: value for name, value in super().arguments.items() if name != "run_id"}

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """The round under way has jobs."""
        return bool(world.jobs) or world.run_finished


@dataclass(frozen=True)
class RestartUnits(Action):
    """Compute units (symbol and mode) anew with the present code: their files are removed, their jobs begin again.

    The round records its new code last, so that a restart that is cut short is decided on again. The action is refused
    while a worker of these units runs. The workers named in `left` do not count: they were sent SIGKILL and survive
    only because the kernel waits for a disk or a driver, so they die before they do anything else.
    """

    kind = "restart_units"
    expects = "the round goes on with the new code"

    units: tuple[tuple[str, str], ...]
    code: str
    left: tuple[str, ...]

    @property
    def target(self) -> str:
        """The hash of the code that the round changes to."""
        return self.code

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """The round's record names the new code."""
        return None if not world.round_code else world.round_code == target


@dataclass(frozen=True)
class FinishRun(Action):
    """Write the run's last record, which marks the run as complete."""

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
