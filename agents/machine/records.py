"""What grows for weeks: which logs and journals are too long, which records nobody needs any more, and how they go.

Results are never listed: only what lies below STATE_ROOT and LOGS_ROOT. A run that is not finished and the newest run
stay, whatever the settings say; so does the last outcome of every symbol and mode of the run under way.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from agents.runtime.world import Expired, Records
from config.swarm import SwarmSettings
from state import orders, runs, snapshot
from state.jobs import is_worth_compacting
from state.layout import Roots, SwarmRunFolder
from state.orders import SwarmOrder

LOOK_EVERY_S = 600.0  # between two searches for what has expired; times the cadence scale
_COMPACT_BYTES = 1_000_000  # a job journal this long costs every cycle of every agent ten milliseconds
_ORPHAN_S = 600.0  # how long nobody needs to own a heartbeat or an exit file before it goes
_AT_ONCE = 50  # expired things a cycle: what is recorded of it stays short
_CATCH_UP = 20  # looks for what was written while a log was copied; a flood is cut after that


# what there is --------------------------------------------------------------------------------------------------------


def look(roots: Roots, limits: SwarmSettings, order: SwarmOrder | None, thorough: bool) -> Records:
    """What is too long, and when `thorough` what has expired."""
    return Records(
        long_logs=tuple(sorted(_long_logs(roots, limits))),
        long_journals=() if order is None else tuple(_long_journals(roots.swarm_run(order.run_id))),
        expired=tuple(expired(roots, limits, order))[:_AT_ONCE] if thorough else None,
    )


def expired(roots: Roots, limits: SwarmSettings, order: SwarmOrder | None) -> Iterator[Expired]:
    """Everything that may go, oldest runs first."""
    yield from _runs(roots, limits, order)
    if order is not None:
        yield from _rounds(roots, limits, order)
    yield from _aged(roots, limits)
    yield from _orphans(roots)


def _long_logs(roots: Roots, limits: SwarmSettings) -> Iterator[str]:
    """Only logs that somebody may be writing now: those of workers on file, and of agents."""
    most = limits.log_mb * 1_000_000
    names = {path.stem for path in roots.workers.glob("*.json")}
    folders = {path for path in (roots.logs.iterdir() if roots.logs.is_dir() else ()) if path.is_dir()}
    for folder in folders:
        for entry in os.scandir(folder):
            is_written = folder.name == "agents" or any(
                name.startswith(entry.name.removesuffix(".log")) for name in names
            )
            if is_written and entry.name.endswith(".log") and entry.stat().st_size > most:
                yield str(Path(entry.path).relative_to(roots.logs))


def _long_journals(folder: SwarmRunFolder) -> Iterator[int]:
    for one in folder.rounds()[-1:]:
        if _size(one.jobs) > _COMPACT_BYTES and is_worth_compacting(one.jobs.read_bytes()):
            yield one.number


def _runs(roots: Roots, limits: SwarmSettings, order: SwarmOrder | None) -> Iterator[Expired]:
    """Complete runs beyond those that are kept."""
    folders = roots.runs()
    current = "" if order is None else order.run_id
    complete = [one.path.name for one in folders[:-1] if one.path.name != current and is_complete(roots, one.path.name)]
    newest_is_complete = bool(folders) and is_complete(roots, folders[-1].path.name)
    beyond = len(complete) + newest_is_complete - limits.keep_runs
    for run_id in complete[: max(0, beyond)]:
        yield Expired("run", run_id, f"{limits.keep_runs} newer runs are complete")


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
    for number, one in enumerate(rounds[: -limits.keep_rounds]):
        if number not in last.values():
            path = f"{order.run_id}/{one.path.name}"
            yield Expired("round", path, f"{limits.keep_rounds} newer rounds are there")


def _aged(roots: Roots, limits: SwarmSettings) -> Iterator[Expired]:
    """Logs and answered requests without a new line for as long as the settings say."""
    oldest = time.time() - limits.keep_log_days * 86_400
    why = f"older than {limits.keep_log_days:g} days"
    names = {path.stem for path in roots.workers.glob("*.json")}
    for path in _files(roots.logs, depth=1):
        in_use = any(name.startswith(path.name.partition(".log")[0]) for name in names)
        if ".log" in path.name and not in_use and _changed(path) < oldest:
            yield Expired("log", str(path.relative_to(roots.logs)), why)
    for folder in ("done", "refused"):
        for path in _files(roots.requests / folder, depth=0):
            if _changed(path) < oldest:
                yield Expired("state", str(path.relative_to(roots.state)), why)
    kept = {one.path.name for one in roots.runs()}
    for path in _files(roots.state, depth=0):
        run_id = path.name.removeprefix("session_state_").partition(".")[0]
        if path.name.startswith("session_state_bt-") and run_id not in kept and _changed(path) < oldest:
            yield Expired("state", path.name, why)


def _orphans(roots: Roots) -> Iterator[Expired]:
    """Heartbeats and exit files whose worker is accounted for, and what writers left that were killed in mid-write."""
    oldest = time.time() - _ORPHAN_S
    for folder in (roots.state / "heartbeats", roots.state / "exits"):
        for path in _files(folder, depth=0):
            worker = path.name.removesuffix(".json")
            if path.suffix == ".json" and not roots.launch(worker).exists() and _changed(path) < oldest:
                yield Expired("state", str(path.relative_to(roots.state)), "nobody owns it any more")
    for folder in (roots.state, roots.state / "heartbeats", roots.state / "exits", roots.state / "loops"):
        for path in _files(folder, depth=0):
            if path.name.endswith(".tmp") and _changed(path) < time.time() - 86_400:
                yield Expired("state", str(path.relative_to(roots.state)), "its writer was killed")


# how it goes ----------------------------------------------------------------------------------------------------------


def retire(roots: Roots, one: Expired) -> bool:
    """Remove it, if it still may go; a path that leads anywhere else is left alone."""
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
    if path.is_dir():
        import shutil  # 4 ms of a cold cycle: only those pay who remove

        # Out of sight first: what is half removed must not look like a run.
        aside = path.with_name(f".{path.name}.retired.tmp")
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)
        shutil.rmtree(aside)
        return True
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
        return one.path.startswith(("heartbeats/", "exits/", "requests/", "session_state_bt-")) or one.path.endswith(
            ".tmp"
        )
    return ".log" in Path(one.path).name


def rotate(path: Path, most_bytes: int) -> bool:
    """Keep the last half of `most_bytes` of a log beside it and empty the log in place.

    Its writers append (O_APPEND) and go on at the new end without noticing, let alone waiting. What they write between
    the last look and the cut is lost: in a flood, a few lines of it.
    """
    if _size(path) <= most_bytes:
        return False
    import shutil

    aside = path.with_name(f"{path.name}.1")
    temporary = path.with_name(f".{path.name}.1.tmp")
    with path.open("rb") as log, temporary.open("wb") as kept:
        log.seek(max(0, _size(path) - most_bytes // 2))
        log.readline()  # the rest of a line that began before
        shutil.copyfileobj(log, kept)
        for _ in range(_CATCH_UP):
            more = log.read(most_bytes)
            if not more:
                break
            kept.write(more)
        os.truncate(path, 0)
    temporary.replace(aside)
    return True


# helpers --------------------------------------------------------------------------------------------------------------


def _files(folder: Path, depth: int) -> Iterator[Path]:
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            continue
        if path.is_file():
            yield path
        elif depth and path.is_dir():
            yield from _files(path, depth - 1)


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0


def _changed(path: Path) -> float:
    """Wall time of its last change; never old when it cannot be asked."""
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return float("inf")
