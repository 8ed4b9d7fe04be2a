"""Find the user's own hooks: their folders, which of them are asked at a point, and which files cannot be asked."""

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
    """Return the folders that hold one folder for each point: `$BACKTEST_OPTIMIZE_GATES` and `RESULTS_ROOT/hooks`."""
    named = os.environ.get(VARIABLE, "")
    folders = ([Path(named).expanduser()] if named else []) + [roots.hooks]
    return list({os.path.realpath(folder): folder for folder in folders}.values())


def hooks_at(point: Point, roots: Roots) -> list[Path]:
    """Return the hooks that are asked at `point`, folder by folder, in the order of their names."""
    return [path for folder in roots_of_hooks(roots) for path in _entries(folder / point)]


def faults(roots: Roots) -> list[Fault]:
    """Return the files that cannot be run or are never asked, so that they are found before a job meets them."""
    return [Fault(str(path), *found) for path, found in _faults(roots)]


def _faults(roots: Roots) -> Iterator[tuple[Path, tuple[str, str]]]:
    for folder in roots_of_hooks(roots):
        for place in _entries(folder):
            if place.name not in POINTS:
                yield place, ("is at no point, so nobody asks it", f"move it to one of: {', '.join(POINTS)}")
                continue
            yield from ((path, found) for path in _entries(place) if (found := fault_in(path)) is not None)


def _entries(folder: Path) -> list[Path]:
    """Return the entries of a folder, sorted, without hidden files and READMEs; [] when it is missing."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    return [folder / name for name in names if not name.startswith((".", "README"))]
