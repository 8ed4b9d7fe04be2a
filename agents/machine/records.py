"""What grows for weeks: which logs and journals are too long, which records nobody needs any more, and how they go.

Results are never listed: only what lies below STATE_ROOT and LOGS_ROOT. A run that is not finished and the newest run
stay, whatever the settings say; so does the last outcome of every symbol and mode of the run under way. Only what a
record says we made is removed or cut: of logs the one of `state/files/made.py`; below STATE_ROOT the names of
`state/files/ours.py` and what stands in the file itself. Ages are counted by the watchdog's own time, which no jump of
the clock moves.
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

LOOK_EVERY_S = 600.0  # between two searches for what has expired; times the cadence scale
_COMPACT_BYTES = 1_000_000  # a job journal this long costs every cycle of every agent ten milliseconds
_DAY_S = 86_400.0
_RECORD_BYTES = 1_000_000  # of one file are read, to see whether it is a record of ours
_ORPHAN_S = 600.0  # how long nobody needs to own a heartbeat or an exit file before it goes
_AT_ONCE = 50  # expired things a cycle: what is recorded of it stays short
_CATCH_UP = 20  # looks for what was written while a log was copied; a flood is cut after that


# what there is --------------------------------------------------------------------------------------------------------


def look(
    roots: Roots, limits: SwarmSettings, order: SwarmOrder | None, thorough: bool, counted_s: float | None = None
) -> Records:
    """What is too long, and when `thorough` what has expired at `counted_s`, wall seconds as the watchdog counts them.

    None: nobody has counted yet, so nothing is old.
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
    """Everything that may go, oldest runs first."""
    yield from _runs(roots, limits, order)
    if order is not None:
        yield from _rounds(roots, limits, order)
    for one in _aging(roots, limits) if aged is None else aged:
        if counted_s is not None and one.changed_s < counted_s - one.kept_s:
            yield Expired(one.kind, one.path, one.why, one.changed_s)


def _long_logs(roots: Roots, limits: SwarmSettings) -> Iterator[str]:
    """Only logs that somebody may be writing now, those of workers on file and of agents, and that we made."""
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
    """Complete runs beyond those that are kept."""
    folders = roots.runs()
    current = "" if order is None else order.run_id
    complete = [one.path.name for one in folders[:-1] if one.path.name != current and is_complete(roots, one.path.name)]
    newest_is_complete = bool(folders) and is_complete(roots, folders[-1].path.name)
    beyond = len(complete) + newest_is_complete - limits.records.keep_runs
    for run_id in complete[: max(0, beyond)]:
        yield Expired("run", run_id, f"{limits.records.keep_runs} newer runs are complete")


def is_complete(roots: Roots, run_id: str) -> bool:
    """Whether a run, of the swarm or of one process, has nothing left to do. Unreadable is no."""
    folder = roots.swarm_run(run_id)
    if orders.read(folder.order) is not None:
        return isinstance(snapshot.read_json(folder.finished), dict)
    run = runs.read(roots.run(run_id))
    return run is not None and run.done


def _rounds(roots: Roots, limits: SwarmSettings, order: SwarmOrder) -> Iterator[Expired]:
    """Rounds of the run under way beyond those that are kept, but for a unit's last outcome."""
    rounds = roots.swarm_run(order.run_id).rounds()
    last = {unit: n for n, one in enumerate(rounds) for unit in order.units if one.unit(*unit).outcome.exists()}
    for number, one in enumerate(rounds[: -limits.records.keep_rounds]):
        if number not in last.values():
            path = f"{order.run_id}/{one.path.name}"
            yield Expired("round", path, f"{limits.records.keep_rounds} newer rounds are there")


@dataclass(frozen=True)
class Aging:
    """A file of ours that goes when it has not changed for as long as it is kept."""

    kind: str
    path: str
    why: str
    changed_s: float  # wall seconds
    kept_s: float


def _aging(roots: Roots, limits: SwarmSettings) -> Iterator[Aging]:
    """Logs, answered requests, lines of runs that are gone, what nobody owns, and what killed writers left."""
    from state.files import ours  # with the catalog 3 ms of a cold cycle: only those pay who look thoroughly

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
    """Records in a folder of STATE_ROOT that may go once they are old, and when they changed."""
    for path in _files(roots.state / folder):
        if _may_age(roots, name := str(path.relative_to(roots.state))):
            yield name, _changed(path)


def _may_age(roots: Roots, name: str) -> bool:
    """Whether it is a record of ours that says itself what it is, and that nobody needs."""
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
    """Of the lines of a run that are gone, and it holds nothing."""
    from state.files import ours  # as above

    if not ours.is_ours(str(path.relative_to(roots.state))):
        return False
    lines = path.with_suffix("")
    is_of_lines = lines.name.startswith("session_state_bt-") and not lines.exists() and _size(path) == 0
    return is_of_lines and not roots.swarm_run(lines.stem.removeprefix("session_state_")).path.exists()


def _says(path: Path, key: str) -> Any:
    """What the record in a file, or the first of a journal, holds under `key`; None: it is no record of ours."""
    with contextlib.suppress(OSError, ValueError), plain.opened(path) as file:
        text = file.readline(_RECORD_BYTES) if ".jsonl" in path.name else file.read(_RECORD_BYTES)
        record = json.loads(text)
        return record.get(key) if isinstance(record, dict) else None
    return None


# how it goes ----------------------------------------------------------------------------------------------------------


def retire(roots: Roots, one: Expired) -> bool:
    """Remove it, if it still may go. A path that leads anywhere else is left alone, and what in it is not ours."""
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
    if not _may_go(roots, one):
        return False
    if one.kind in ("run", "round"):
        ours.remove(path, home / Path(one.path).parts[0])
        return True
    if one.changed_s is not None and _changed(path) != one.changed_s:  # somebody writes it again
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
        return name in {round_.path.name for round_ in rounds[:-2]}  # the one under way reads from the one before
    if one.kind == "state":
        from state.files import ours  # as above

        return _may_age(roots, one.path) or ours.is_debris(one.path)
    return one.path in made.ours(roots)


def rotate(roots: Roots, name: str, most_bytes: int) -> bool:
    """Keep the last half of `most_bytes` of a log of ours beside it and empty the log in place.

    Its writers append (O_APPEND) and go on at the new end without noticing, let alone waiting. What they write between
    the last look and the cut is lost: in a flood, a few lines of it. Somebody else's log is left alone, one that has a
    second name too, and no file of somebody else is replaced.
    """
    path = roots.logs / name
    aside = made.aside_of(roots, name) if _size(path) > most_bytes and made.is_ours(roots, name) else None
    if aside is None:
        return False
    import shutil

    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
    with path.open("rb") as log, made.log(roots, temporary) as kept:
        inode = os.fstat(kept.fileno()).st_ino
        log.seek(max(0, _size(path) - most_bytes // 2))
        log.readline()  # the rest of a line that began before
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
    """The plain files in it."""
    there = sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []
    return [path for path in there if path.is_file() and not path.is_symlink()]


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0


def _changed(path: Path) -> float:
    """Wall time of its last change; never old when it cannot be asked."""
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return float("inf")
