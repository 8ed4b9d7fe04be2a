"""Jobs, the operations a user sees: one append-only journal a round is their only store; a state is its replay.

auto_scheduler appends `enqueued`, `reopened` and `withdrawn`, worker_sentry everything else. `compacted` replaces a
long past by what it led to: the replay stays the same.
"""

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from config.record import dataclass, field, fields
from state.clock import Clock, stamp
from state.identity import boot_id
from state.journal import Journal
from state.tree import record_of, tree_of

Phase = Literal["preflight", "prescreen", "merge", "search", "validate", "report", "refine"]
SCREENS: tuple[Phase, ...] = ("prescreen", "refine")  # what a GPU does
FILL: Phase = "refine"  # no step of the pipeline: useful work for lanes that would idle, and the first to give way
PHASES: tuple[Phase, ...] = ("preflight", "prescreen", "merge", "search", "validate", "report")
Status = Literal["pending", "running", "completed", "failed", "cancelled", "quarantined"]
DEATHS = ("died", "failed", "quarantined")  # events of which people want to know
DEATHS_KEPT = 200
MOST_BYTES = 4_000_000  # a journal this long costs every cycle of every agent a tenth of a second
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
    hand: bool = False  # only helps with a study that others work on: whatever becomes of it, the study goes on

    @property
    def job_id(self) -> str:
        """Also a file name."""
        return f"r{self.round}.{self.symbol}.{self.mode}.{self.phase}.{self.shard}"

    @property
    def unit(self) -> tuple[str, str]:
        """What it is a part of."""
        return (self.symbol, self.mode)

    @property
    def fills(self) -> bool:
        """Whether it only fills a lane: nothing waits for it."""
        return self.phase == FILL


@dataclass(frozen=True)
class JobState:
    """A job as it stands. `epoch` counts its workers; `deaths` those in a row without new durable progress, `ooms`
    those by the kernel's memory killer: each halves what its next worker holds at a time. `error_message` says what is
    wrong now; `last_death`, how its last worker ended, stays when it runs again.
    """

    job: Job
    status: Status = "pending"
    epoch: int = 0
    worker_id: str = ""
    lane: str = ""
    deaths: int = 0
    last_done: int = 0
    ooms: int = 0
    retry_at_s: float = 0.0  # monotonic, within `boot_id`; another boot waits no longer
    boot_id: str = ""
    error_message: str = ""
    last_death: str = ""
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

    def ended(self, job_id: str, status: Status, error_message: str, gates: Iterable[dict[str, Any]] = ()) -> None:
        """Failed for good, cancelled or quarantined."""
        record = {"event": status, "job_id": job_id, "error_message": error_message, "gates": list(gates)}
        self._append([record])

    def died(self, job_id: str, reason: str, deaths: int, last_done: int, wait_s: float, oom: bool = False) -> None:
        """Its worker is gone without a result; it is pending again, not before `wait_s` have passed."""
        self._append(
            [
                {
                    "event": "died",
                    "job_id": job_id,
                    "error_message": reason,
                    "deaths": deaths,
                    "last_done": last_done,
                    "oom": oom,
                    "retry_at_s": self._clock.monotonic_s() + wait_s,
                    "boot_id": boot_id(),
                }
            ]
        )

    def restart(self, units: Iterable[tuple[str, str]]) -> None:
        """Compute these symbols and modes anew: their first phase is pending again, the later ones are yet to come.

        Epochs go on where they were (of a job that is enqueued again by its lease): a worker of before is outdated.
        """
        of_units, records = set(units), []
        for job_id, state in self.states().items():
            if state.job.unit in of_units:
                event = "reopened" if state.job.phase == PHASES[0] else "withdrawn"
                records.append({"event": event, "job_id": job_id})
        self._append(records)

    def compact(self) -> None:
        """Replace the past by the state it led to; see `compacted`. What was there before lies in `<name>.1` once."""
        at = stamp(self._clock.now())
        self._journal.rewrite(lambda records: compacted(records, at))

    def _append(self, records: Iterable[dict[str, Any]]) -> None:
        """The watchdog compacts long before; where it does not come to it, whoever writes does."""
        at = stamp(self._clock.now())
        path = self._journal.path
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size > MOST_BYTES and is_worth_compacting(path.read_bytes()):
                self.compact()
        self._journal.append(*({"at": at, **record} for record in records))


def is_worth_compacting(data: bytes) -> bool:
    """Whether it about halves the journal's lines: the state of ten thousand jobs is long, too."""
    lines = data.splitlines()
    short = sum(b'"event":"compacted"' in line or b'"event":"enqueued"' in line for line in lines)
    return len(lines) > 2 * short + DEATHS_KEPT


def compacted(records: Sequence[Any], at: str = "") -> list[Any]:
    """Fewer records that lead to the same states, now and after whatever is appended.

    The last deaths stay, for people: they stand first, where the replay knows no job that they could speak of. A state
    that would not come back as it is (somebody wrote a word as we do not) keeps its own records.
    """
    states = fold(records)
    short: dict[str, dict[str, Any]] = {}
    for job_id, state in states.items():
        one = {"at": at, "event": "compacted", "job_id": job_id, "state": tree_of(state)}
        if fold([one]) == {job_id: state}:
            short[job_id] = one
    raw = set(states) - set(short)
    deaths = [r for r in records if isinstance(r, dict) and r.get("event") in DEATHS and _job_of(r) not in raw]
    kept = [record for record in records if _job_of(record) in raw] if raw else []
    # In the order of the states: who enumerates jobs must find them as they were enqueued.
    tail = [one for job_id in states for one in ([short[job_id]] if job_id in short else _of(job_id, kept))]
    return [*deaths[-DEATHS_KEPT:], *tail]


def _of(job_id: str, records: Iterable[Any]) -> list[Any]:
    return [record for record in records if _job_of(record) == job_id]


def _job_of(record: Any) -> str:
    """The job that a record speaks of; "" when it speaks of none."""
    if not isinstance(record, dict):
        return ""
    if record.get("event") not in ("enqueued", "compacted"):
        return str(record.get("job_id"))
    try:
        if record["event"] == "compacted":
            return record_of(JobState, record.get("state")).job.job_id
        return record_of(Job, record.get("job")).job_id
    except ValueError:
        return ""


def fold(records: Iterable[Any]) -> dict[str, JobState]:
    """The states that a journal's records lead to; what speaks of no known job is passed over."""
    drafts: dict[str, dict[str, Any]] = {}  # job id → the fields that are not as they begin: a record a line costs more
    for record in records:
        if not isinstance(record, dict):
            continue
        event = record.get("event")
        if event == "compacted":
            with contextlib.suppress(ValueError):
                whole = record_of(JobState, record.get("state"))
                drafts[whole.job.job_id] = {field.name: getattr(whole, field.name) for field in fields(whole)}
            continue
        if event == "enqueued":
            with contextlib.suppress(ValueError):
                job = record_of(Job, record.get("job"))
                drafts.setdefault(job.job_id, {"job": job, "status": "pending"})
            continue
        job_id = str(record.get("job_id"))
        draft = drafts.get(job_id)
        if draft is None:
            continue
        if event == "withdrawn":
            del drafts[job_id]
        elif event == "reopened":
            drafts[job_id] = {"job": draft["job"], "status": "pending", "epoch": draft.get("epoch", 0)}
        elif draft["status"] in _OPEN:  # over is over: a late word of an older worker changes nothing
            with contextlib.suppress(KeyError, TypeError, ValueError):  # not as we say it: no more than a damaged line
                draft.update(_changes(draft, event, record))
    return {job_id: JobState(**draft) for job_id, draft in drafts.items()}


_OPEN = ("pending", "running")


def _changes(draft: dict[str, Any], event: Any, record: dict[str, Any]) -> dict[str, Any]:
    """The fields that a record changes; KeyError, TypeError: it is none of ours."""
    if event == "started":
        began = {"epoch": _number(record["epoch"]), "worker_id": _text(record["worker_id"])}
        return {"status": "running", "error_message": "", "lane": _text(record["lane"]), **began}
    if event == "completed":
        gates = tuple(record["gates"])
        return {"status": "completed", "metrics": record["metrics"], "gates": gates, "error_message": ""}
    if event == "died":
        why = _text(record["error_message"])
        return {
            "status": "pending",
            "error_message": why,
            "last_death": why,
            "deaths": _number(record["deaths"]),
            "last_done": _number(record["last_done"]),
            "ooms": draft.get("ooms", 0) + bool(record.get("oom")),
            "retry_at_s": _number(record["retry_at_s"]),
            "boot_id": _text(record["boot_id"]),
        }
    if event in ("failed", "cancelled", "quarantined"):
        gates = tuple(record.get("gates", ()))
        return {"status": event, "error_message": _text(record["error_message"]), "gates": gates}
    return {}


def _number(value: Any) -> Any:
    if not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
