"""Keep the records of months short: find logs and journals that are too long and records that expired; remove these.

Only files below STATE_ROOT and LOGS_ROOT are listed, never results. Runs that are not finished, the newest run, and the
last outcome of every unit of the run under way stay, whatever the settings say. Only files that the project has made
are removed or cut: logs that `state/files/made.py` has on record, and below STATE_ROOT the names of
`state/files/ours.py` whose contents agree. Ages are judged by the watchdog's own count of time, which a jump of the
clock does not move.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agents.model.world import Expired, Records
from config import plain
from config.record import dataclass
from config.swarm import SwarmSettings
from state.files import made, snapshot
from state.files.layout import Roots
from state.files.run_folders import SwarmRunFolder
from state.records import orders, runs
from state.records.jobs import is_worth_compacting
from state.records.orders import SwarmOrder

LOOK_EVERY_S = 600.0  # seconds, times the cadence scale, between two searches for expired records
_COMPACT_BYTES = 1_000_000  # a job journal this long costs every cycle of every agent ten milliseconds
_DAY_S = 86_400.0
_RECORD_BYTES = 1_000_000  # how much of a file is read to see whether it is a record of ours
_ORPHAN_S = 600.0  # how long a heartbeat or an exit file stays without a launch record
_AT_ONCE = 50  # expired records in one cycle, so that the record of the cycle stays short
_CATCH_UP = 20  # how often lines are fetched that were written while a log was copied; after that a flood is cut off


# what there is --------------------------------------------------------------------------------------------------------


def look(
    roots: Roots, limits: SwarmSettings, order: SwarmOrder | None, thorough: bool, counted_s: float | None = None
) -> Records:
    """Return the records that are too long, and with `thorough` those that have expired.

    `counted_s` is the wall time as the watchdog counts it; with None nothing is old yet.
    """
    aged = tuple(_aging(roots, limits)) if thorough else ()
    return Records(
        long_logs=tuple(sorted(_long_logs(roots, limits))),
        long_journals=() if order is None else tuple(_long_journals(roots.swarm_run(order.run_id))),
        expired=tuple(expired(roots, limits, order, counted_s, aged))[:_AT_ONCE] if thorough else None,
        oldest_s=min((one.changed_s for one in aged), default=None),
    )


def expired(
    roots: Roots,
    limits: SwarmSettings,
    order: SwarmOrder | None,
    counted_s: float | None,
    aged: tuple["Aging", ...] | None = None,
) -> Iterator[Expired]:
    """Yield all records that may be removed, the oldest runs first."""
    yield from _runs(roots, limits, order)
    if order is not None:
        yield from _rounds(roots, limits, order)
    for one in _aging(roots, limits) if aged is None else aged:
        if counted_s is not None and one.changed_s < counted_s - one.kept_s:
            yield Expired(one.kind, one.path, one.why, one.changed_s)


def _long_logs(roots: Roots, limits: SwarmSettings) -> Iterator[str]:
    """Yield the long logs that we made and that may be written now: those of agents and of workers on file."""
    most = limits.records.log_mb * 1_000_000
    names = {path.stem for path in roots.workers.glob("*.json")}
    found = list[str]()
    for folder in _folders(roots.logs):
        for entry in os.scandir(folder):
            is_written = folder.name == "agents" or any(
                name.startswith(entry.name.removesuffix(".log")) for name in names
            )
            is_log = is_written and entry.name.endswith(".log") and entry.is_file(follow_symlinks=False)
            if is_log and entry.stat(follow_symlinks=False).st_size > most:
                found.append(f"{folder.name}/{entry.name}")
    yield from (name for name in found if made.is_ours(roots, name))


def _folders(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()] if folder.is_dir() else []


def _long_journals(folder: SwarmRunFolder) -> Iterator[int]:
    for one in folder.rounds()[-1:]:
        if _size(one.jobs) > _COMPACT_BYTES and is_worth_compacting(plain.read_bytes(one.jobs)):
            yield one.number


def _runs(roots: Roots, limits: SwarmSettings, order: SwarmOrder | None) -> Iterator[Expired]:
    """Yield the complete runs beyond the number that is kept."""
    folders = roots.runs()
    current = "" if order is None else order.run_id
    complete = [one.path.name for one in folders[:-1] if one.path.name != current and is_complete(roots, one.path.name)]
    newest_is_complete = bool(folders) and is_complete(roots, folders[-1].path.name)
    beyond = len(complete) + newest_is_complete - limits.records.keep_runs
    for run_id in complete[: max(0, beyond)]:
        yield Expired("run", run_id, f"{limits.records.keep_runs} newer runs are complete")


def is_complete(roots: Roots, run_id: str) -> bool:
    """Whether a run, of the swarm or of one process, has nothing left to do; False when its records cannot be read."""
    folder = roots.swarm_run(run_id)
    if orders.read(folder.order) is not None:
        return isinstance(snapshot.read_json(folder.finished), dict)
    run = runs.read(roots.run(run_id))
    return run is not None and run.done


def _rounds(roots: Roots, limits: SwarmSettings, order: SwarmOrder) -> Iterator[Expired]:
    """Yield the rounds of the run under way beyond the number that is kept, except those with a unit's last outcome."""
    rounds = roots.swarm_run(order.run_id).rounds()
    # `results --all` shows a unit's last outcome, however old it is.
    last = {unit: n for n, one in enumerate(rounds) for unit in order.units if one.unit(*unit).outcome.exists()}
    for number, one in enumerate(rounds[: -limits.records.keep_rounds]):
        if number not in last.values():
            path = f"{order.run_id}/{one.path.name}"
            yield Expired("round", path, f"{limits.records.keep_rounds} newer rounds are there")


@dataclass(frozen=True)
class Aging:
    """A file of ours that is removed when it has not changed for `kept_s`."""

    kind: str
    path: str
    why: str
    changed_s: float  # wall seconds
    kept_s: float


def _aging(roots: Roots, limits: SwarmSettings) -> Iterator[Aging]:
    """Yield logs, answered requests, session logs of removed runs, ownerless files, and what killed writers left."""
    from state.files import ours  # importing it takes 3 ms, so only a thorough look pays for it

    kept_s, why = limits.records.keep_log_days * _DAY_S, f"older than {limits.records.keep_log_days:g} days"
    names = {path.stem for path in roots.workers.glob("*.json")}
    for path, there in made.ours(roots).items():
        in_use = any(name.startswith(Path(path).name.partition(".log")[0]) for name in names)
        if not in_use:
            yield Aging("log", path, why, there.st_mtime, kept_s)
    for folder in ("requests/done", "requests/refused", ""):
        yield from (Aging("state", path, why, changed_s, kept_s) for path, changed_s in _found(roots, folder))
    for folder in ("heartbeats", "exits"):
        for path, changed_s in _found(roots, folder):
            yield Aging("state", path, "nobody owns it any more", changed_s, _ORPHAN_S)
    for folder in ("", "heartbeats", "exits", "loops"):
        for left in _files(roots.state / folder):
            if ours.is_debris(name := str(left.relative_to(roots.state))):
                yield Aging("state", name, "its writer was killed", _changed(left), _DAY_S)


def _found(roots: Roots, folder: str) -> Iterator[tuple[str, float]]:
    """Yield the records in a folder of STATE_ROOT that may be removed once they are old, and when they changed."""
    for path in _files(roots.state / folder):
        if _may_age(roots, name := str(path.relative_to(roots.state))):
            yield name, _changed(path)


def _may_age(roots: Roots, name: str) -> bool:
    """Whether the file is a record of ours, by its own contents, and is no longer needed."""
    path = roots.state / name
    folder, stem = str(Path(name).parent), path.name.removesuffix(".json")
    if folder in ("heartbeats", "exits"):
        return path.suffix == ".json" and not roots.launch(stem).exists() and _says(path, "worker_id") == stem
    if folder in ("requests/done", "requests/refused"):
        return path.suffix == ".json" and _says(path, "request_id") == stem and _says(path, "answered_at") is not None
    if path.name.endswith(".lock"):
        return _is_left_lock(roots, path)
    run_id = path.name.removeprefix("session_state_").removesuffix(".1").removesuffix(".jsonl")
    if folder != "." or path.name not in (f"session_state_{run_id}.jsonl", f"session_state_{run_id}.jsonl.1"):
        return False
    return not roots.swarm_run(run_id).path.exists() and _says(path, "run_id") == run_id


def _is_left_lock(roots: Roots, path: Path) -> bool:
    """Whether the file is the empty lock of the session log of a run, and both the log and the run are gone."""
    from state.files import ours  # a late import, as above

    if not ours.is_ours(str(path.relative_to(roots.state))):
        return False
    lines = path.with_suffix("")
    is_of_lines = lines.name.startswith("session_state_bt-") and not lines.exists() and _size(path) == 0
    return is_of_lines and not roots.swarm_run(lines.stem.removeprefix("session_state_")).path.exists()


def _says(path: Path, key: str) -> Any:
    """Return the value of `key` in a file's record, or in a journal's first record; None without such a record."""
    with contextlib.suppress(OSError, ValueError), plain.opened(path) as file:
        text = file.readline(_RECORD_BYTES) if ".jsonl" in path.name else file.read(_RECORD_BYTES)
        record = json.loads(text)
        return record.get(key) if isinstance(record, dict) else None
    return None


# how it goes ----------------------------------------------------------------------------------------------------------


def retire(roots: Roots, one: Expired) -> bool:
    """Remove an expired record if it may still be removed; return whether it was.

    A path that leads out of its root is left alone, and so are files in a run's folder that are not ours.
    """
    from state.files import ours  # as above

    home = {"run": roots.state / "runs", "round": roots.state / "runs", "log": roots.logs, "state": roots.state}[
        one.kind
    ]
    path = home / one.path
    if (
        ".." in path.parts
        or path.is_symlink()
        or not path.resolve().is_relative_to(home.resolve())
        or path.resolve() == home.resolve()
    ):
        return False
    # Time has passed since the record was listed: a run may have become the current one since.
    if not _may_go(roots, one):
        return False
    if one.kind in ("run", "round"):
        ours.remove(path, home / Path(one.path).parts[0])
        return True
    if one.changed_s is not None and _changed(path) != one.changed_s:  # it was written again
        return False
    path.unlink(missing_ok=True)
    return True


def _may_go(roots: Roots, one: Expired) -> bool:
    if one.kind == "run":
        folders = roots.runs()
        current = orders.current(roots)
        is_newest = bool(folders) and folders[-1].path.name == one.path
        return not is_newest and (current is None or current.run_id != one.path) and is_complete(roots, one.path)
    if one.kind == "round":
        run_id, _, name = one.path.partition("/")
        rounds = roots.swarm_run(run_id).rounds()
        return name in {round_.path.name for round_ in rounds[:-2]}  # the round under way reads from the one before
    if one.kind == "state":
        from state.files import ours  # as above

        return _may_age(roots, one.path) or ours.is_debris(one.path)
    return one.path in made.ours(roots)


def rotate(roots: Roots, name: str, most_bytes: int) -> bool:
    """Copy the last half of `most_bytes` of a log of ours beside it, and empty the log in place; whether it was done.

    Its writers append (O_APPEND), so they go on at the new end without noticing or waiting. What they write between the
    last read and the cut is lost: a few lines, and only in a flood. A log that is not ours, or that has a second name,
    is left alone, and no file of others is replaced.
    """
    path = roots.logs / name
    aside = made.aside_of(roots, name) if _size(path) > most_bytes and made.is_ours(roots, name) else None
    if aside is None:
        return False
    import shutil

    # The end is copied, not renamed: the writers hold the file open, and would go on writing to the renamed one.
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
    with path.open("rb") as log, made.log(roots, temporary) as kept:
        inode = os.fstat(kept.fileno()).st_ino
        log.seek(max(0, _size(path) - most_bytes // 2))
        log.readline()  # skips the rest of a line that began before this place
        shutil.copyfileobj(log, kept)
        for _ in range(_CATCH_UP):
            more = log.read(most_bytes)
            if not more:
                break
            kept.write(more)
        os.truncate(path, 0)
    temporary.replace(roots.logs / aside)
    made.note(roots, roots.logs / aside, inode)
    return True


# helpers --------------------------------------------------------------------------------------------------------------


def _files(folder: Path) -> list[Path]:
    """Return the plain files in a folder, without links."""
    there = sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []
    return [path for path in there if path.is_file() and not path.is_symlink()]


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0


def _changed(path: Path) -> float:
    """Return the wall time of the last change; infinity, which is never old, when it cannot be read."""
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return float("inf")
