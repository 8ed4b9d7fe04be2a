"""Where the user's own hooks lie, which of them are asked at a point, and what is wrong with what lies there."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

from config.record import dataclass
from hooks.executable import fault_in
from state.files.layout import Roots

Point = Literal["after_preflight", "after_prescreen", "before_search", "after_validation", "on_incident"]
POINTS: tuple[Point, ...] = get_args(Point)
VARIABLE = "BACKTEST_OPTIMIZE_GATES"


@dataclass(frozen=True)
class Fault:
    """Something in a hook folder that cannot be asked; `fix` says what to type."""

    path: str
    fault: str
    fix: str


def roots_of_hooks(roots: Roots) -> list[Path]:
    """The folders with a folder a point: the one that `BACKTEST_OPTIMIZE_GATES` names, and `RESULTS_ROOT/hooks`."""
    named = os.environ.get(VARIABLE, "")
    folders = ([Path(named).expanduser()] if named else []) + [roots.hooks]
    return list({os.path.realpath(folder): folder for folder in folders}.values())


def hooks_at(point: Point, roots: Roots) -> list[Path]:
    """Everything that is to be asked at `point`, in the order of names, folder by folder."""
    return [path for folder in roots_of_hooks(roots) for path in _entries(folder / point)]


def faults(roots: Roots) -> list[Fault]:
    """What lies in the folders and would not be run, or never asked: seen before a job stumbles over it."""
    return [Fault(str(path), *found) for path, found in _faults(roots)]


def _faults(roots: Roots) -> Iterator[tuple[Path, tuple[str, str]]]:
    for folder in roots_of_hooks(roots):
        for place in _entries(folder):
            if place.name not in POINTS:
                yield place, ("is at no point, so nobody asks it", f"move it to one of: {', '.join(POINTS)}")
                continue
            yield from ((path, found) for path in _entries(place) if (found := fault_in(path)) is not None)


def _entries(folder: Path) -> list[Path]:
    """What lies there; hidden files and a README are no hooks."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    return [folder / name for name in names if not name.startswith((".", "README"))]
