"""Jobs, the operations a user sees: one append-only journal a round is their only store; a state is its replay.

auto_scheduler appends `enqueued`, `reopened` and `withdrawn`, worker_sentry everything else. `compacted` replaces a
long past by what it led to: the replay stays the same.
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
SCREENS: tuple[Phase, ...] = ("prescreen", "refine")  # what a GPU does
FILL: Phase = "refine"  # no step of the pipeline: useful work for lanes that would idle, and the first to give way
PHASES: tuple[Phase, ...] = ("preflight", "prescreen", "merge", "search", "validate", "report")
Status = Literal["pending", "running", "completed", "failed", "cancelled", "quarantined"]
DEATHS = ("died", "failed", "quarantined")  # events of which people want to know
DEATHS_KEPT = 200
BY_OPERATOR = "stopped by the operator"  # a death that nobody has to heal
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
    those by the kernel's memory killer: each halves what its next worker holds at a time. `waits`: how often in a row
    it waited for what may pass by itself. `error_message` says what is wrong now; `last_death`, how its last worker
    ended, stays when it runs again.
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
                    **({"waits": waits} if waits else {}),
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
            if path.stat().st_size > MOST_BYTES and is_worth_compacting(plain.read_bytes(path)):
                self.compact()
        self._journal.append(*({"at": at, **record} for record in records))


_LONGEST_BYTES = 1_000_000  # of a record: the longest, of a job with all its gates, have some kilobytes


def is_worth_compacting(data: bytes) -> bool:
    """Whether it about halves the journal's lines (the state of ten thousand jobs is long, too), or its bytes.

    A line that is no record, such as a hundred megabytes of garbage, would otherwise be read by every agent in every
    cycle for as long as the round lasts.
    """
    lines = data.splitlines()
    debris = sum(len(line) for line in lines if not line.startswith(b"{") or len(line) > _LONGEST_BYTES)
    if 2 * debris > len(data):
        return True
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


def deaths(records: Iterable[Any]) -> tuple[dict[str, Any], ...]:
    """The records of ends that people want to know of, as far as they say of what and when."""
    found = (one for one in records if isinstance(one, dict) and one.get("event") in DEATHS)
    return tuple(
        one for one in found if all(isinstance(one.get(key, ""), str) for key in _OF_A_DEATH) and one["job_id"]
    )


_OF_A_DEATH = ("job_id", "at", "error_message")


def are_sound(metrics: Any, gates: Any) -> bool:
    """Whether what a worker measured, and the gates its job passed, have the types that readers rely on."""
    if not isinstance(metrics, dict) or not isinstance(gates, list | tuple):
        return False
    has_numbers = all(_is_number(metrics.get(name, 0)) for name in ("tried", "bars"))
    has_holdout = isinstance(metrics.get("holdout") or {}, dict)
    return has_numbers and has_holdout and _is_pace(metrics.get("pace")) and all(map(_is_gate, gates))


def _is_pace(pace: Any) -> bool:
    """How fast a prescreen was, where it says so."""
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


_MOST = 10**15  # seconds, steps, combos: beyond it a journal was damaged


def fold(records: Iterable[Any], misfits: list[Any] | None = None) -> dict[str, JobState]:
    """The states that a journal's records lead to; what speaks of no known job is passed over.

    What is no record of ours is passed over as well, and put into `misfits`.
    """
    misfits = [] if misfits is None else misfits
    drafts: dict[str, dict[str, Any]] = {}  # job id → the fields that are not as they begin: a record a line costs more
    for record in records:
        try:
            _follow(drafts, record)
        except (KeyError, TypeError, ValueError, AttributeError):  # not as we say it: no more than a damaged line
            misfits.append(record)
    return {job_id: JobState(**draft) for job_id, draft in drafts.items()}


def _follow(drafts: dict[str, dict[str, Any]], record: dict[str, Any]) -> None:
    """One record after those before it. KeyError, TypeError, ValueError, AttributeError: it is none of ours."""
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
    elif draft["status"] in _OPEN:  # a job that is over stays so: a late record of an older worker changes nothing
        draft.update(_changes(draft, event, record))


def _whole(tree: Any) -> JobState:
    state = record_of(JobState, tree)
    if not are_sound(state.metrics, state.gates) or abs(state.retry_at_s) >= _MOST:
        raise ValueError("its metrics or gates are none")
    _named(state.job)
    return state


def _named(job: Job) -> Job:
    """Its names become paths."""
    if any("/" in name or name in ("", ".", "..") for name in job.unit) or job.shards < 1 or job.shard < 0:
        raise ValueError(f"{job} is no job")
    return job


_OPEN = ("pending", "running")


def _changes(draft: dict[str, Any], event: Any, record: dict[str, Any]) -> dict[str, Any]:
    """The fields that a record changes; KeyError, TypeError: it is none of ours."""
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
        raise TypeError("its metrics or gates are none")
    return tuple(gates)


def _number(value: Any) -> Any:
    if not _is_number(value):
        raise TypeError(f"{str(value)[:20]} is no number of ours")
    return value


def _whole_number(value: Any) -> int:
    if not isinstance(value, int) or not _is_number(value):
        raise TypeError(f"{str(value)[:20]} is no whole number of ours")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
