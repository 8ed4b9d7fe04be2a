"""What a run of the swarm is to do, as a record: written once when it begins, read by agents and workers."""

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
    """`key` is a hash of all that decides the results; `rounds` 0 goes on until stop; `data_path` None is the demo."""

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
    gpu: int | None = None  # the only GPU that gets a lane; -1: none does
    stop_when_holdout_spent: bool = True  # where rounds have no number: another look could promote nothing
    seed_dirs: tuple[str, ...] = ()  # with prescreens of other machines and lanes
    allow_wicks: bool = False
    date_format: str | None = None  # of the data files, as typed; None: the files decide
    timezone: str | None = None  # of times without a zone, as typed; None: UTC
    schema: int = SCHEMA

    @property
    def units(self) -> tuple[tuple[str, str], ...]:
        """Every symbol × mode, in the order in which they were named."""
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
    """What agents and commands read of an order's settings; workers check all of them."""

    prescreen: _Prescreen
    search: _Search
    modes: dict[str, _Mode] = field(default_factory=dict)
    run: _Seed = field(default_factory=_Seed)


def read(path: Path) -> SwarmOrder | None:
    """The order at `path`; None when there is none, it is damaged, or of a schema we do not know."""
    return of_tree(snapshot.read_json(path), path.parent.name)


def of_tree(record: Any, run_id: str) -> SwarmOrder | None:
    """The order of this run that `record` holds; None when it holds none, another's, or one of an unknown schema."""
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
    """Whether a newer version wrote it: that is not damaged, and is never written over."""
    schema = tree.get("schema") if isinstance(tree, dict) else None
    return isinstance(schema, int) and schema > SCHEMA


def is_name(text: str) -> bool:
    """Whether it is one part of a path and nothing else: names in records become paths."""
    return "/" not in text and "\0" not in text and text not in ("", ".", "..")


@dataclass(frozen=True)
class Begun:
    """What a round began with; `dropped`: unit → why it failed before, `fills`: unit → refinements to build on."""

    at: str = ""
    dropped: dict[str, str] = field(default_factory=dict)
    fills: dict[str, tuple[int, ...]] = field(default_factory=dict)
    holdouts: dict[str, dict[str, Any]] = field(default_factory=dict)
    code: str = ""


def begun(folder: RoundFolder) -> Begun:
    """The record of a round's beginning, as far as it fits."""
    kept, _ = fitting(Begun, snapshot.read_json(folder.begun))
    known = {name: value for name, value in kept.items() if name in Begun.__annotations__}
    known["holdouts"] = {unit: holdout.sound(tree) for unit, tree in known.get("holdouts", {}).items()}
    return record_of(Begun, known)


@dataclass(frozen=True)
class Finished:
    """How a run ended; `failed`: unit → why."""

    finished_at: str = ""
    why: str = ""
    failed: dict[str, str] = field(default_factory=dict)
    completed: tuple[str, ...] = ()
    rounds: int = 0


def finished(folder: SwarmRunFolder) -> Finished:
    """The last record of a run, as far as it fits; an empty one when there is none."""
    kept, _ = fitting(Finished, snapshot.read_json(folder.finished))
    return record_of(Finished, kept)


def is_open(roots: Roots, order: SwarmOrder) -> bool:
    """Whether something of an order is not done yet."""
    return not roots.swarm_run(order.run_id).finished.exists()


@dataclass(frozen=True)
class Stopped:
    """The tombstone: since when and by whom."""

    at: str | None = None
    by: str | None = None


def stopped(roots: Roots) -> Stopped:
    """What the tombstone says, as far as it fits; that it is there is all that counts."""
    kept, _ = fitting(Stopped, snapshot.read_json(roots.tombstone))
    return record_of(Stopped, kept)


def write(path: Path, order: SwarmOrder) -> None:
    """Put the order on file."""
    snapshot.write_json(path, tree_of(order))


def current(roots: Roots) -> SwarmOrder | None:
    """The run the swarm works on; None before the first. If the pointer is lost: the newest, an open one first."""
    if run_id := pointer(roots):
        return read(roots.swarm_run(run_id).order)
    on_file = every(roots)
    is_open = (order for order in on_file if not roots.swarm_run(order.run_id).finished.exists())
    return next(is_open, on_file[0] if on_file else None)


def pointer(roots: Roots) -> str:
    """The run that `current_run.json` names; "" when it names none."""
    return pointed(snapshot.read_json(roots.current_run))


def pointed(tree: Any) -> str:
    """The run that a pointer names; "" when it is none."""
    run_id = tree.get("run_id") if isinstance(tree, dict) else None
    return run_id if isinstance(run_id, str) and is_name(run_id) else ""


def point(roots: Roots, order: SwarmOrder) -> None:
    """Make this run the one that the swarm works on. Pointer and order each carry the order: one may be lost."""
    snapshot.write_json(roots.current_run, _pointer_to(order))


def _pointer_to(order: SwarmOrder) -> dict[str, Any]:
    return {"run_id": order.run_id, "order": tree_of(order)}


def restored(roots: Roots) -> tuple[str, str] | None:
    """Put back the order of the run under way from its pointer, or the pointer from the run: which record, and whence.

    None when nothing was lost, or nothing can be put back. Two at once do it once: nothing is written over.
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
    if os.path.lexists(path):
        snapshot.set_aside(path)
    is_done = snapshot.write_new(path, codec.encode(tree_of(order)))
    return (str(path.relative_to(roots.state)), f"{roots.current_run.name} holds a copy of it") if is_done else None


def copy_in_pointer(roots: Roots) -> SwarmOrder | None:
    """The copy of the order that the pointer carries; None where it carries none (an older version's), or a bad one."""
    tree = snapshot.read_json(roots.current_run)
    run_id = pointed(tree)
    return of_tree(tree.get("order"), run_id) if run_id and isinstance(tree, dict) else None


def every(roots: Roots) -> list[SwarmOrder]:
    """All orders on file, newest first."""
    found = (read(roots.swarm_run(folder.path.name).order) for folder in reversed(roots.runs()))
    return [order for order in found if order is not None]


def must(path: Path) -> SwarmOrder:
    """Like `read`, but a missing order is refused."""
    order = read(path)
    if order is None:
        raise Refused(f"{path} is gone or not an order", "type the --parallel command again")
    return order
