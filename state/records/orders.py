"""The order of a run of the swarm. It is written once, when the run begins; agents and workers read it."""

import os
from datetime import datetime
from pathlib import Path
from typing import Any

from config.errors import Refused
from config.record import dataclass, field
from state.files import codec, snapshot
from state.files.layout import Roots
from state.files.run_folders import RoundFolder, SwarmRunFolder
from state.files.tree import fitting, record_of, tree_of
from state.records import holdout

SCHEMA = 1


@dataclass(frozen=True)
class SwarmOrder:
    """What a run should do. `key` is a hash of everything that decides the results.

    `rounds` 0 means that the number of rounds is open: the run goes on until it is stopped, or until no holdout is left
    (`stop_when_holdout_spent`). `data_path` None means generated demo bars.
    """

    run_id: str
    key: str
    symbols: tuple[str, ...]
    modes: tuple[str, ...]
    rounds: int
    data_path: str | None
    engine: str
    repair: bool
    started_at: str
    settings: dict[str, Any]
    gpu: int | None = None  # the only GPU that gets a lane; -1: no GPU does; None: each does
    # for runs without a number of rounds: stop when another look could promote nothing
    stop_when_holdout_spent: bool = True
    seed_dirs: tuple[str, ...] = ()  # folders with prescreens of other machines and lanes
    allow_wicks: bool = False
    date_format: str | None = None  # of the data files, as it was typed; None: the files decide
    timezone: str | None = None  # of times without a zone, as it was typed; None: UTC
    schema: int = SCHEMA

    @property
    def units(self) -> tuple[tuple[str, str], ...]:
        """Every pair of symbol and mode, in the order in which they were named."""
        return tuple((symbol, mode) for symbol in self.symbols for mode in self.modes)


@dataclass(frozen=True)
class _Prescreen:
    combos: int
    batch_combos: int


@dataclass(frozen=True)
class _Search:
    processes: int
    batch_trials: int
    trials: int = 0


@dataclass(frozen=True)
class _Mode:
    family: str = ""


@dataclass(frozen=True)
class _Seed:
    seed: int | None = None


@dataclass(frozen=True)
class _Settings:
    """The settings in an order that agents and commands read; workers check all settings."""

    prescreen: _Prescreen
    search: _Search
    modes: dict[str, _Mode] = field(default_factory=dict)
    run: _Seed = field(default_factory=_Seed)


def read(path: Path) -> SwarmOrder | None:
    """Return the order at `path`; None when there is none, or it is damaged or of an unknown schema."""
    return of_tree(snapshot.read_json(path), path.parent.name)


def of_tree(record: Any, run_id: str) -> SwarmOrder | None:
    """Return the order of this run in `record`; None when it holds none, another run's, or one of an unknown schema."""
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        return None
    try:
        order = record_of(SwarmOrder, record)
        asked = record_of(_Settings, order.settings)
        begins = datetime.fromisoformat(order.started_at)
    except ValueError:
        return None
    sizes = (asked.prescreen.combos, asked.prescreen.batch_combos, asked.search.batch_trials)
    is_sound = min(sizes) > 0 and order.rounds >= 0 and begins.tzinfo is not None and bool(order.units)
    names = (*order.symbols, *order.modes)
    return order if is_sound and order.run_id == run_id and all(map(is_name, names)) else None


def is_newer(tree: Any) -> bool:
    """Whether a newer version wrote the order, which then is not damaged and must not be overwritten."""
    schema = tree.get("schema") if isinstance(tree, dict) else None
    return isinstance(schema, int) and schema > SCHEMA


def is_name(text: str) -> bool:
    """Whether a name from a record can be one part of a path, and cannot lead elsewhere."""
    return "/" not in text and "\0" not in text and text not in ("", ".", "..")


@dataclass(frozen=True)
class Begun:
    """What a round began with. The keys of the mappings are units, each as "SYMBOL MODE".

    `dropped` says why a unit failed in an earlier round, `fills` holds the numbers of the refinements that it builds
    on, and `holdouts` the state of its holdout (`state.records.holdout`). `code` is the hash of the work plane.
    """

    at: str = ""
    dropped: dict[str, str] = field(default_factory=dict)
    fills: dict[str, tuple[int, ...]] = field(default_factory=dict)
    holdouts: dict[str, dict[str, Any]] = field(default_factory=dict)
    code: str = ""


def begun(folder: RoundFolder) -> Begun:
    """Return the record of how a round began; fields that do not fit have their defaults."""
    kept, _ = fitting(Begun, snapshot.read_json(folder.begun))
    known = {name: value for name, value in kept.items() if name in Begun.__annotations__}
    known["holdouts"] = {unit: holdout.sound(tree) for unit, tree in known.get("holdouts", {}).items()}
    return record_of(Begun, known)


@dataclass(frozen=True)
class Finished:
    """How a run ended. `failed` maps a unit to the reason."""

    finished_at: str = ""
    why: str = ""
    failed: dict[str, str] = field(default_factory=dict)
    completed: tuple[str, ...] = ()
    rounds: int = 0


def finished(folder: SwarmRunFolder) -> Finished:
    """Return the last record of a run. A field that does not fit has its default; without a record, all fields have."""
    kept, _ = fitting(Finished, snapshot.read_json(folder.finished))
    return record_of(Finished, kept)


def is_open(roots: Roots, order: SwarmOrder) -> bool:
    """Whether the run of an order is not complete yet."""
    return not roots.swarm_run(order.run_id).finished.exists()


@dataclass(frozen=True)
class Stopped:
    """The tombstone: since when the swarm is stopped, and by whom."""

    at: str | None = None
    by: str | None = None


def stopped(roots: Roots) -> Stopped:
    """Return the contents of the tombstone as far as they fit. Only its existence matters to the swarm."""
    kept, _ = fitting(Stopped, snapshot.read_json(roots.tombstone))
    return record_of(Stopped, kept)


def write(path: Path, order: SwarmOrder) -> None:
    """Write the order."""
    snapshot.write_json(path, tree_of(order))


def current(roots: Roots) -> SwarmOrder | None:
    """Return the order that the swarm works on; None before the first, or when the order is lost.

    When the pointer is lost, the newest order that is not complete takes its place, else the newest order of all.
    """
    if run_id := pointer(roots):
        return read(roots.swarm_run(run_id).order)
    on_file = every(roots)
    is_open = (order for order in on_file if not roots.swarm_run(order.run_id).finished.exists())
    return next(is_open, on_file[0] if on_file else None)


def pointer(roots: Roots) -> str:
    """Return the id of the run that `current_run.json` names; "" when it names none."""
    return pointed(snapshot.read_json(roots.current_run))


def pointed(tree: Any) -> str:
    """Return the id of the run in the contents of a pointer; "" when they name none."""
    run_id = tree.get("run_id") if isinstance(tree, dict) else None
    return run_id if isinstance(run_id, str) and is_name(run_id) else ""


def point(roots: Roots, order: SwarmOrder) -> None:
    """Make the swarm work on this run. The pointer also holds a copy of the order, so that either may be lost."""
    snapshot.write_json(roots.current_run, _pointer_to(order))


def _pointer_to(order: SwarmOrder) -> dict[str, Any]:
    return {"run_id": order.run_id, "order": tree_of(order)}


def restored(roots: Roots) -> tuple[str, str] | None:
    """Restore the order of the run under way from its pointer, or the pointer from the orders on file.

    Returns the restored record and where it came from; None when nothing was lost or nothing can be restored. Nothing
    is overwritten, so of two processes that try at once only one restores it.
    """
    run_id = pointer(roots)
    if not run_id:
        order = current(roots)
        if order is None:
            return None
        if os.path.lexists(roots.current_run):
            snapshot.set_aside(roots.current_run)
        is_done = snapshot.write_new(roots.current_run, codec.encode(_pointer_to(order)))
        why = f"the order of {order.run_id} is on file, and no newer one is open"
        return (roots.current_run.name, why) if is_done else None
    path = roots.swarm_run(run_id).order
    order = copy_in_pointer(roots)
    if order is None or read(path) is not None or is_newer(snapshot.read_json(path)):
        return None
    # The damaged file is kept under another name, and the new one is written only where nothing lies.
    if os.path.lexists(path):
        snapshot.set_aside(path)
    is_done = snapshot.write_new(path, codec.encode(tree_of(order)))
    return (str(path.relative_to(roots.state)), f"{roots.current_run.name} holds a copy of it") if is_done else None


def copy_in_pointer(roots: Roots) -> SwarmOrder | None:
    """Return the copy of the order in the pointer; None when it is damaged, or an older version wrote none."""
    tree = snapshot.read_json(roots.current_run)
    run_id = pointed(tree)
    return of_tree(tree.get("order"), run_id) if run_id and isinstance(tree, dict) else None


def every(roots: Roots) -> list[SwarmOrder]:
    """Return all orders on file, the newest first."""
    found = (read(roots.swarm_run(folder.path.name).order) for folder in reversed(roots.runs()))
    return [order for order in found if order is not None]


def must(path: Path) -> SwarmOrder:
    """Return the order at `path`.

    Raises:
        Refused: there is no order that can be read.
    """
    order = read(path)
    if order is None:
        raise Refused(f"{path} is gone or not an order", "type the --parallel command again")
    return order
