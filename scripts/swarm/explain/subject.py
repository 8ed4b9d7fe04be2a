"""Find the job or worker that the user named, with its history in the job journal; an unknown name is refused."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from config.errors import Refused
from scripts.swarm.records import records_with
from state.files import snapshot
from state.files.journal import Journal
from state.files.layout import Roots
from state.files.run_folders import RoundFolder
from state.records import orders
from state.records.jobs import JobState, fold

_WORKER = re.compile(r"(?P<job>.+)\.e\d+\.[0-9a-f]+")
_ROUND = re.compile(r"r(?P<round>\d+)\..+")


@dataclass(frozen=True)
class Subject:
    """A job with its history; `worker_id` is set when one of its workers is meant."""

    run_id: str
    folder: RoundFolder
    state: JobState
    history: tuple[dict[str, Any], ...]
    worker_id: str = ""

    @property
    def job_id(self) -> str:
        """The job's name."""
        return self.state.job.job_id

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the job and of all its workers, or of the one worker that is meant."""
        if self.worker_id:
            return (self.worker_id,)
        workers = (str(r.get("worker_id")) for r in self.history if r.get("event") == "started")
        return (self.job_id, *dict.fromkeys(workers))


def job(roots: Roots, name: str) -> Subject:
    """Return the job of that name, from the newest run that has it.

    Raises:
        Refused: there is none; names those that read alike.
    """
    match = _ROUND.fullmatch(name)
    for run_id in _runs(roots):
        folders = roots.swarm_run(run_id).rounds()
        for folder in folders:
            if match is not None and folder.number == int(match["round"]):
                records = Journal(folder.jobs).read().records
                state = fold(records).get(name)
                if state is not None:
                    return Subject(run_id, folder, state, _history(folder, name, records))
    raise Refused(f"there is no job {name!r} on file", _alike(name, _known_jobs(roots)))


def worker(roots: Roots, name: str) -> Subject:
    """Return the worker of that name, or the last worker that had this pid.

    Raises:
        Refused: there is none; names those that read alike.
    """
    name = _by_pid(roots, name) if name.isdigit() else name
    match = _WORKER.fullmatch(name)
    if match is None:
        what = f"no worker on file has or had pid {name}" if name.isdigit() else ""
        raise Refused(what or f"{name!r} is not the name of a worker", _alike(name, _known_workers(roots)))
    try:
        found = job(roots, match["job"])
    except Refused:
        raise Refused(f"there is no worker {name!r} on file", _alike(name, _known_workers(roots))) from None
    if all(record.get("worker_id") != name for record in found.history):
        mine = [str(r.get("worker_id")) for r in found.history if r.get("event") == "started"]
        raise Refused(f"there is no worker {name!r} on file", f"of that job there were: {', '.join(mine) or 'none'}")
    return Subject(found.run_id, found.folder, found.state, found.history, name)


def events(roots: Roots) -> tuple[dict[str, Any], ...]:
    """Return all events in the journal of the current round."""
    order = orders.current(roots)
    folders = [] if order is None else roots.swarm_run(order.run_id).rounds()
    records = Journal(folders[-1].jobs).read().records if folders else ()
    return tuple(record for record in records if isinstance(record, dict))


def _history(folder: RoundFolder, name: str, records: Iterable[Any]) -> tuple[dict[str, Any], ...]:
    """Return every record about the job, with those that the last compacting replaced by a state."""
    now, before = list(_of_job(name, records)), list(_of_job(name, _replaced(folder)))
    if not before:
        return tuple(now)
    return (*before, *(record for record in now if record["event"] != "compacted" and record not in before))


def _replaced(folder: RoundFolder) -> tuple[Any, ...]:
    """Return the records of the journal that the last compacting replaced; () if there was none."""
    return Journal(folder.jobs.with_name(f"{folder.jobs.name}.1")).read().records


def _of_job(name: str, records: Iterable[Any]) -> Iterable[dict[str, Any]]:
    """Return every record about the job, in the order of the journal."""
    for record in records:
        if not isinstance(record, dict) or "event" not in record:
            continue
        tree = record.get("job")
        enqueued = isinstance(tree, dict) and _job_id(tree) == name
        if record.get("job_id") == name or enqueued:
            yield record


def _job_id(tree: dict[str, Any]) -> str:
    return f"r{tree.get('round')}.{tree.get('symbol')}.{tree.get('mode')}.{tree.get('phase')}.{tree.get('shard', 0)}"


def _runs(roots: Roots) -> list[str]:
    """Return the current run, then all others, the newest first."""
    current = orders.current(roots)
    every = [folder.path.name for folder in reversed(roots.runs())]
    return list(dict.fromkeys(([] if current is None else [current.run_id]) + every))


def _known_jobs(roots: Roots) -> list[str]:
    order = orders.current(roots)
    folders = [] if order is None else roots.swarm_run(order.run_id).rounds()
    return [name for folder in folders for name in fold(Journal(folder.jobs).read().records)]


def _known_workers(roots: Roots) -> list[str]:
    order = orders.current(roots)
    folder = None if order is None else next(reversed(roots.swarm_run(order.run_id).rounds()), None)
    before = () if folder is None else _replaced(folder)
    started = (r for r in (*before, *events(roots)) if isinstance(r, dict) and r.get("event") == "started")
    return list(dict.fromkeys(str(record.get("worker_id")) for record in started))


def _alike(name: str, known: list[str]) -> str:
    """Return known names that contain or resemble the typed one; when none does, the last that are known."""
    alike = [one for one in known if name in one][:5] or get_close_matches(name, known, n=5, cutoff=0.5)
    if alike:
        return f"did you mean: {', '.join(alike)}"
    if known:
        return f"there are {len(known)}, the last: {', '.join(known[-3:])}"
    return "nothing was ever started here: scripts/backtest-optimize --parallel starts the first run"


def _by_pid(roots: Roots, pid: str) -> str:
    for path in sorted(roots.heartbeat("x").parent.glob("*.json")):
        beat = snapshot.read_json(path)
        beat = beat if isinstance(beat, dict) else {}
        process = beat.get("identity")
        if isinstance(process, dict) and str(process.get("pid")) == pid:
            return str(beat.get("worker_id"))
    return _by_pid_before(roots, pid) or pid


def _by_pid_before(roots: Roots, pid: str) -> str:
    """Return the worker that had the pid when worker_sentry decided something; "" when no record says so."""
    found = ""
    for record in records_with(roots.cycles("worker_sentry"), (f'"pid":{pid}',)):
        world = record.get("world")
        workers = world.get("workers") if isinstance(world, dict) else None
        for worker in workers if isinstance(workers, list) else ():
            if isinstance(worker, dict) and str(worker.get("pid")) == pid and isinstance(worker.get("launch"), dict):
                found = str(worker["launch"].get("worker_id", ""))
    return found
