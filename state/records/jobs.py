"""Jobs, the operations that a user sees. Their only store is one append-only journal for each round.

The state of a job is the replay of its records. auto_scheduler appends `enqueued`, `reopened` and `withdrawn`,
worker_sentry all other records. A record `compacted` replaces many records by the state to which they led.
"""

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from config import plain
from config.record import dataclass, field, fields
from state.files.journal import Journal
from state.files.tree import record_of, tree_of
from state.host.clock import Clock, stamp
from state.host.identity import boot_id

Phase = Literal["preflight", "prescreen", "merge", "search", "validate", "report", "refine"]
SCREENS: tuple[Phase, ...] = ("prescreen", "refine")  # the phases that a GPU can do
FILL: Phase = "refine"  # not a step of the pipeline: useful work for idle lanes, which ends first when a lane is wanted
PHASES: tuple[Phase, ...] = ("preflight", "prescreen", "merge", "search", "validate", "report")
Status = Literal["pending", "running", "completed", "failed", "cancelled", "quarantined"]
DEATHS = ("died", "failed", "quarantined")  # events that people are told of
DEATHS_KEPT = 200
BY_OPERATOR = "stopped by the operator"  # a death that needs no healing
MOST_BYTES = 4_000_000  # reading a longer journal would take each cycle of each agent more than a tenth of a second
STATUSES: tuple[Status, ...] = ("pending", "running", "completed", "failed", "cancelled", "quarantined")


@dataclass(frozen=True)
class Job:
    """One piece of work, named by round, symbol, mode, phase and shard.

    Its phase is split into `shards` shards; those of a merge are the shards of the prescreen that it joins.
    """

    round: int
    symbol: str
    mode: str
    phase: Phase
    shard: int = 0
    shards: int = 1
    hand: bool = False  # a hand, a further worker on a study: the study goes on, whatever happens to the hand

    @property
    def job_id(self) -> str:
        """The job's id, which is also a file name."""
        return f"r{self.round}.{self.symbol}.{self.mode}.{self.phase}.{self.shard}"

    @property
    def unit(self) -> tuple[str, str]:
        """The unit, symbol and mode, that the job is a part of."""
        return (self.symbol, self.mode)

    @property
    def fills(self) -> bool:
        """Whether the job only fills an idle lane, so that nothing waits for it."""
        return self.phase == FILL


@dataclass(frozen=True)
class JobState:
    """The state of a job.

    `epoch` counts its workers. `deaths` counts deaths in a row without new durable progress, that is, without more
    steps than `last_done`, the most that an earlier worker had done. `ooms` counts the deaths for lack of memory; each
    of them halves the batches of the next worker. `waits` counts how often in a row the job waited for an obstacle that
    may pass by itself. `error_message` says what is wrong now; `last_death` says how its last worker ended, and stays
    when the job runs again.
    """

    job: Job
    status: Status = "pending"
    epoch: int = 0
    worker_id: str = ""
    lane: str = ""
    deaths: int = 0
    last_done: int = 0
    ooms: int = 0
    waits: int = 0
    retry_at_s: float = 0.0  # monotonic, of the boot `boot_id`; in another boot the wait is over
    boot_id: str = ""
    error_message: str = ""
    last_death: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    gates: tuple[dict[str, Any], ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether the job has ended, well or not."""
        return self.status not in ("pending", "running")

    def may_start(self, now_s: float) -> bool:
        """Whether the job is pending and its backoff has passed."""
        return self.status == "pending" and (self.boot_id != boot_id() or now_s >= self.retry_at_s)

    def as_operation(self, done: int, total: int) -> dict[str, Any]:
        """Return the job as operators and programs see it. Its worker reports `done` of `total` steps."""
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
    """The job journal of one round."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock

    def states(self) -> dict[str, JobState]:
        """Return the state of each job by its id, in the order in which the jobs were enqueued."""
        return fold(self._journal.read().records)

    def enqueue(self, jobs: Iterable[Job]) -> None:
        """Add jobs; a job that is already there stays as it is."""
        known = self.states()
        self._append({"event": "enqueued", "job": tree_of(job)} for job in jobs if job.job_id not in known)

    def started(self, job_id: str, epoch: int, worker_id: str, lane: str) -> None:
        """Record that a worker is about to be launched for the job."""
        self._append([{"event": "started", "job_id": job_id, "epoch": epoch, "worker_id": worker_id, "lane": lane}])

    def completed(self, job_id: str, metrics: dict[str, Any], gates: Iterable[dict[str, Any]]) -> None:
        """Record that the job is completed; its result is on disk."""
        self._append([{"event": "completed", "job_id": job_id, "metrics": metrics, "gates": list(gates)}])

    def ended(self, job_id: str, status: Status, error_message: str, gates: Iterable[dict[str, Any]] = ()) -> None:
        """Record that the job has failed for good, or was cancelled or quarantined."""
        record = {"event": status, "job_id": job_id, "error_message": error_message, "gates": list(gates)}
        self._append([record])

    def died(
        self,
        job_id: str,
        reason: str,
        deaths: int,
        last_done: int,
        wait_s: float,
        oom: bool = False,
        waits: int = 0,
    ) -> None:
        """Record that the worker is gone without a result; the job is pending again, and may start after `wait_s`."""
        self._append(
            [
                {
                    "event": "died",
                    "job_id": job_id,
                    "error_message": reason,
                    "deaths": deaths,
                    "last_done": last_done,
                    "oom": oom,
                    **({"waits": waits} if waits else {}),
                    "retry_at_s": self._clock.monotonic_s() + wait_s,
                    "boot_id": boot_id(),
                }
            ]
        )

    def restart(self, units: Iterable[tuple[str, str]]) -> None:
        """Let these units be computed anew: their first phase is pending again, their later jobs are withdrawn.

        Epochs continue (for a job that is enqueued again, by its lease), so that an earlier worker is outdated.
        """
        of_units, records = set(units), []
        for job_id, state in self.states().items():
            if state.job.unit in of_units:
                event = "reopened" if state.job.phase == PHASES[0] else "withdrawn"
                records.append({"event": event, "job_id": job_id})
        self._append(records)

    def compact(self) -> None:
        """Replace the records by the states to which they led (`compacted`); the old journal is kept as `<name>.1`."""
        at = stamp(self._clock.now())
        self._journal.rewrite(lambda records: compacted(records, at))

    def _append(self, records: Iterable[dict[str, Any]]) -> None:
        """Append records. A journal that is far too long, because no watchdog compacts it, is compacted here first."""
        at = stamp(self._clock.now())
        path = self._journal.path
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size > MOST_BYTES and is_worth_compacting(plain.read_bytes(path)):
                self.compact()
        self._journal.append(*({"at": at, **record} for record in records))


_LONGEST_BYTES = 1_000_000  # of one record; the longest, of jobs with all their gates, take some kilobytes


def is_worth_compacting(data: bytes) -> bool:
    """Whether compacting would about halve the journal's lines or bytes; the states of many jobs are long in any case.

    Bytes count, because every agent would otherwise read a damaged line, which may be a hundred megabytes long, in
    every cycle of the round.
    """
    lines = data.splitlines()
    debris = sum(len(line) for line in lines if not line.startswith(b"{") or len(line) > _LONGEST_BYTES)
    if 2 * debris > len(data):
        return True
    short = sum(b'"event":"compacted"' in line or b'"event":"enqueued"' in line for line in lines)
    return len(lines) > 2 * short + DEATHS_KEPT


def compacted(records: Sequence[Any], at: str = "") -> list[Any]:
    """Return fewer records that lead to the same states, now and after further records.

    The last deaths are kept for people. They stand first, where the replay ignores them because it knows no job yet. A
    state that one record would not reproduce exactly (because a record was written by hand) keeps its own records.
    """
    states = fold(records)
    short: dict[str, dict[str, Any]] = {}
    for job_id, state in states.items():
        one = {"at": at, "event": "compacted", "job_id": job_id, "state": tree_of(state)}
        # Checked by a replay: a short form that loses something is not used.
        if fold([one]) == {job_id: state}:
            short[job_id] = one
    raw = set(states) - set(short)
    deaths = [r for r in records if isinstance(r, dict) and r.get("event") in DEATHS and _job_of(r) not in raw]
    kept = [record for record in records if _job_of(record) in raw] if raw else []
    # The order of the states is kept, because readers rely on the order in which jobs were enqueued.
    tail = [one for job_id in states for one in ([short[job_id]] if job_id in short else _of(job_id, kept))]
    return [*deaths[-DEATHS_KEPT:], *tail]


def _of(job_id: str, records: Iterable[Any]) -> list[Any]:
    return [record for record in records if _job_of(record) == job_id]


def _job_of(record: Any) -> str:
    """Return the id of the job that a record is about; "" when it is about none."""
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


def deaths(records: Iterable[Any]) -> tuple[dict[str, Any], ...]:
    """Return the records of deaths and bad ends whose texts have the right type."""
    found = (one for one in records if isinstance(one, dict) and one.get("event") in DEATHS)
    return tuple(
        one for one in found if all(isinstance(one.get(key, ""), str) for key in _OF_A_DEATH) and one["job_id"]
    )


_OF_A_DEATH = ("job_id", "at", "error_message")


def are_sound(metrics: Any, gates: Any) -> bool:
    """Whether a worker's metrics, and the gates of its job, have the types that readers rely on."""
    if not isinstance(metrics, dict) or not isinstance(gates, list | tuple):
        return False
    has_numbers = all(_is_number(metrics.get(name, 0)) for name in ("tried", "bars"))
    has_holdout = isinstance(metrics.get("holdout") or {}, dict)
    return has_numbers and has_holdout and _is_pace(metrics.get("pace")) and all(map(_is_gate, gates))


def _is_pace(pace: Any) -> bool:
    """Whether the metric `pace`, the speed of a prescreen, has the right types; jobs without one have None."""
    if pace is None:
        return True
    if not isinstance(pace, dict) or not isinstance(pace.get("kind"), str) or not _is_number(pace.get("seconds")):
        return False
    speed = pace.get("speed")
    return speed is None or (_is_number(speed) and speed >= 0)


def _is_gate(gate: Any) -> bool:
    texts = ("gate", "path", "reason", "fix")
    return isinstance(gate, dict) and all(isinstance(gate.get(name) or "", str) for name in texts)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MOST


_MOST = 10**15  # seconds, steps, combos: a larger number comes from a damaged journal


def fold(records: Iterable[Any], misfits: list[Any] | None = None) -> dict[str, JobState]:
    """Replay a journal's records, and return the state of each job by its id.

    Records about unknown jobs are skipped. Values that no job journal holds are skipped, too, and
    appended to `misfits`.
    """
    misfits = [] if misfits is None else misfits
    drafts: dict[str, dict[str, Any]] = {}  # job id → changed fields; making a record for each line would cost more
    for record in records:
        try:
            _follow(drafts, record)
        except (KeyError, TypeError, ValueError, AttributeError):  # not in our form: it counts as a damaged line
            misfits.append(record)
    return {job_id: JobState(**draft) for job_id, draft in drafts.items()}


def _follow(drafts: dict[str, dict[str, Any]], record: dict[str, Any]) -> None:
    """Apply one record to the drafts.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: the record is not in our form.
    """
    event = record.get("event")
    if event == "compacted":
        whole = _whole(record.get("state"))
        drafts[whole.job.job_id] = {field.name: getattr(whole, field.name) for field in fields(whole)}
        return
    if event == "enqueued":
        job = record_of(Job, record.get("job"))
        drafts.setdefault(_named(job).job_id, {"job": job, "status": "pending"})
        return
    job_id = str(record.get("job_id"))
    draft = drafts.get(job_id)
    if draft is None:
        return
    if event == "withdrawn":
        del drafts[job_id]
    elif event == "reopened":
        drafts[job_id] = {"job": draft["job"], "status": "pending", "epoch": draft.get("epoch", 0)}
    elif draft["status"] in _OPEN:  # a job that is over stays over: a late record of an older worker changes nothing
        draft.update(_changes(draft, event, record))


def _whole(tree: Any) -> JobState:
    state = record_of(JobState, tree)
    if not are_sound(state.metrics, state.gates) or abs(state.retry_at_s) >= _MOST:
        raise ValueError("its metrics or gates have a wrong type")
    _named(state.job)
    return state


def _named(job: Job) -> Job:
    """Return the job if its names can be parts of paths and its numbers are possible, else raise ValueError."""
    if any("/" in name or name in ("", ".", "..") for name in job.unit) or job.shards < 1 or job.shard < 0:
        raise ValueError(f"{job} is no job")
    return job


_OPEN = ("pending", "running")


def _changes(draft: dict[str, Any], event: Any, record: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that a record changes; KeyError or TypeError mean that the record is not in our form."""
    if event == "started":
        began = {"epoch": _whole_number(record["epoch"]), "worker_id": _text(record["worker_id"])}
        return {"status": "running", "error_message": "", "lane": _text(record["lane"]), **began}
    if event == "completed":
        gates = _gates(record["metrics"], record["gates"])
        return {"status": "completed", "metrics": record["metrics"], "gates": gates, "error_message": ""}
    if event == "died":
        why = _text(record["error_message"])
        return {
            "status": "pending",
            "error_message": why,
            "last_death": why,
            "deaths": _whole_number(record["deaths"]),
            "last_done": _whole_number(record["last_done"]),
            "ooms": draft.get("ooms", 0) + bool(record.get("oom")),
            "waits": _number(record.get("waits", 0)),
            "retry_at_s": _number(record["retry_at_s"]),
            "boot_id": _text(record["boot_id"]),
        }
    if event in ("failed", "cancelled", "quarantined"):
        gates = _gates({}, record.get("gates", ()))
        return {"status": event, "error_message": _text(record["error_message"]), "gates": gates}
    return {}


def _gates(metrics: Any, gates: Any) -> tuple[dict[str, Any], ...]:
    if not are_sound(metrics, gates):
        raise TypeError("its metrics or gates have a wrong type")
    return tuple(gates)


def _number(value: Any) -> Any:
    if not _is_number(value):
        raise TypeError(f"{str(value)[:20]} is not a number that this journal holds")
    return value


def _whole_number(value: Any) -> int:
    if not isinstance(value, int) or not _is_number(value):
        raise TypeError(f"{str(value)[:20]} is not a whole number that this journal holds")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
