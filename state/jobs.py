"""Jobs, the operations a user sees: one append-only journal a round is their only store; a state is its replay.

auto_scheduler appends `enqueued`, worker_sentry everything else.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from state.clock import Clock, stamp
from state.identity import boot_id
from state.journal import Journal
from state.tree import record_of, tree_of

Phase = Literal["preflight", "prescreen", "merge", "search", "validate", "report"]
PHASES: tuple[Phase, ...] = ("preflight", "prescreen", "merge", "search", "validate", "report")
Status = Literal["pending", "running", "completed", "failed", "cancelled", "quarantined"]
STATUSES: tuple[Status, ...] = ("pending", "running", "completed", "failed", "cancelled", "quarantined")


@dataclass(frozen=True)
class Job:
    """(round, symbol, mode, phase, shard): one unit of work. `shards` is how many this phase has."""

    round: int
    symbol: str
    mode: str
    phase: Phase
    shard: int = 0
    shards: int = 1

    @property
    def job_id(self) -> str:
        """Also a file name."""
        return f"r{self.round}.{self.symbol}.{self.mode}.{self.phase}.{self.shard}"

    @property
    def unit(self) -> tuple[str, str]:
        """What it is a part of."""
        return (self.symbol, self.mode)


@dataclass(frozen=True)
class JobState:
    """A job as it stands. `epoch` counts its workers; `deaths` those in a row without new durable progress."""

    job: Job
    status: Status = "pending"
    epoch: int = 0
    worker_id: str = ""
    lane: str = ""
    deaths: int = 0
    last_done: int = 0
    retry_at_s: float = 0.0  # monotonic, within `boot_id`; another boot waits no longer
    boot_id: str = ""
    error_message: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    gates: tuple[dict[str, Any], ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status not in ("pending", "running")

    def may_start(self, now_s: float) -> bool:
        """Pending, and its backoff has passed."""
        return self.status == "pending" and (self.boot_id != boot_id() or now_s >= self.retry_at_s)

    def as_operation(self, done: int, total: int) -> dict[str, Any]:
        """What operators and programs see of it; `done` of `total` steps, as its worker says."""
        return {
            "operation_id": self.job.job_id,
            "type": self.job.phase,
            "status": self.status,
            "progress": {"done": done, "total": total},
            "result_summary": {"metrics": self.metrics},
            "error_message": self.error_message or None,
            "cancellable": not self.is_over,
        }


class JobJournal:
    """The jobs of one round."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock

    def states(self) -> dict[str, JobState]:
        """Job id → state, in the order in which jobs were enqueued."""
        return fold(self._journal.read().records)

    def enqueue(self, jobs: Iterable[Job]) -> None:
        """Add jobs; one that is there already stays as it is."""
        known = self.states()
        self._append({"event": "enqueued", "job": tree_of(job)} for job in jobs if job.job_id not in known)

    def started(self, job_id: str, epoch: int, worker_id: str, lane: str) -> None:
        """A worker is about to be launched for it."""
        self._append([{"event": "started", "job_id": job_id, "epoch": epoch, "worker_id": worker_id, "lane": lane}])

    def completed(self, job_id: str, metrics: dict[str, Any], gates: Iterable[dict[str, Any]]) -> None:
        """Its result is on disk."""
        self._append([{"event": "completed", "job_id": job_id, "metrics": metrics, "gates": list(gates)}])

    def ended(self, job_id: str, status: Status, error_message: str) -> None:
        """Failed for good, cancelled or quarantined."""
        self._append([{"event": status, "job_id": job_id, "error_message": error_message}])

    def died(self, job_id: str, reason: str, deaths: int, last_done: int, wait_s: float) -> None:
        """Its worker is gone without a result; it is pending again, not before `wait_s` have passed."""
        self._append(
            [
                {
                    "event": "died",
                    "job_id": job_id,
                    "error_message": reason,
                    "deaths": deaths,
                    "last_done": last_done,
                    "retry_at_s": self._clock.monotonic_s() + wait_s,
                    "boot_id": boot_id(),
                }
            ]
        )

    def _append(self, records: Iterable[dict[str, Any]]) -> None:
        at = stamp(self._clock.now())
        self._journal.append(*({"at": at, **record} for record in records))


def fold(records: Iterable[Any]) -> dict[str, JobState]:
    """The states that a journal's records lead to; what speaks of no known job is passed over."""
    states: dict[str, JobState] = {}
    for record in records:
        if not isinstance(record, dict):
            continue
        event = record.get("event")
        if event == "enqueued":
            try:
                job = record_of(Job, record.get("job"))
            except ValueError:
                continue
            states.setdefault(job.job_id, JobState(job))
            continue
        state = states.get(str(record.get("job_id")))
        if state is None or state.is_over:  # over is over: a late word of an older worker changes nothing
            continue
        try:
            states[state.job.job_id] = _after(state, event, record)
        except (KeyError, TypeError):  # a word we know, not as we say it: no more than a damaged line
            continue
    return states


def _after(state: JobState, event: Any, record: dict[str, Any]) -> JobState:
    if event == "started":
        return replace(
            state, status="running", epoch=record["epoch"], worker_id=record["worker_id"], lane=record["lane"]
        )
    if event == "completed":
        return replace(
            state, status="completed", metrics=record["metrics"], gates=tuple(record["gates"]), error_message=""
        )
    if event == "died":
        return replace(
            state,
            status="pending",
            error_message=record["error_message"],
            deaths=record["deaths"],
            last_done=record["last_done"],
            retry_at_s=record["retry_at_s"],
            boot_id=record["boot_id"],
        )
    if event in ("failed", "cancelled", "quarantined"):
        return replace(state, status=event, error_message=record["error_message"])
    return state
