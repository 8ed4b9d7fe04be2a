"""Tell which files below STATE_ROOT are ours, by their exact names; all other files are left alone.

STATE_ROOT may be a folder that holds other things, and people put notes into the folders of runs. So only files with a
name that we give are removed or closed to others; callers also check the contents where a record names its owner.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from state.files.catalog import CATALOG

FOLDERS = frozenset(  # directly below STATE_ROOT
    one.path.split("/")[1] for one in CATALOG if one.path.startswith("STATE_ROOT/") and one.path.count("/") > 1
)
_JOB = r"r\d+\.[^/]+\.[^/]+\.[a-z]+\.\d+"
_WORKER = rf"{_JOB}\.e\d+\.[0-9a-f]{{6}}"
_BESTS = r"best_sharpe|best_returns|lowest_drawdown|best_winrate"
_PLACES = {
    "<RUN_ID>": r"bt-\d{8}_\d{6}Z",
    "<AGENT>": r"[a-z_]+",
    "<WORKER>": _WORKER,
    "<ID>": r"\d{8}T\d{6}-[0-9a-f]{8}",
    "<N>": r"\d+",
    "done|refused": r"(?:done|refused)",
}
_OF_UNIT = (  # of a run of a single process, or of one unit (symbol and mode) of a round
    r"(run|prescreen|prescreen-\d+|refine-\d+|in_sample|phase0_seeds|carried|search|preflight|outcome|run_manifest)\.json",
    r"in_sample\.npy|search\.err|study-server/server\.(json|lock)",
    r"study\.damaged-\d+\.(jsonl|sqlite3)",
    r"study\.jsonl(\.1|\.bad|\.lock|\.bad\.lock)?|study\.sqlite3(-wal|-shm|-journal)?",
    r"validation/(plan\.json|[A-Za-z0-9-]+\.step)",
    r"claims/(\d+|set_aside)\.lock",
    r"staged/(phase0_top500|all_trials|search|pareto_front|run_manifest)\.json|staged/pareto_front\.svg",
    rf"staged/({_BESTS})/((config|metrics|validation|plateau|windows)\.json|plateau\.svg|(trades|equity)\.csv|tearsheet\.html)",
)
_OF_ROUND = (
    r"begun\.json|jobs\.jsonl(\.1|\.bad|\.lock|\.bad\.lock)?",
    rf"(results|leases)/{_JOB}\.json(\.lock)?",
    rf"[^/.][^/]*/[^/.][^/]*/({'|'.join(_OF_UNIT)})",
)
_OF_RUN = (r"order\.json|finished\.json", rf"round-\d+/({'|'.join(_OF_ROUND)})", *_OF_UNIT)
_RECORDS = ("order.json", "finished.json", "run.json")  # removed last, because they say what the other files are
# the name of a file that is being written and not renamed yet
_WRITING = re.compile(r"\.?(.+)\.(?:[0-9a-f]{8}|\d+)\.tmp")


def is_debris(path: str) -> bool:
    """Whether `path`, below STATE_ROOT, is what a killed writer left of a file of ours."""
    folder, _, name = path.rpartition("/")
    found = _WRITING.fullmatch(name)
    return found is not None and is_ours(f"{folder}/{found[1]}" if folder else found[1])


def is_ours(path: str) -> bool:
    """Whether a plain file at `path` below STATE_ROOT has a name that we give."""
    if path.startswith("runs/"):
        _, _, inside = path.removeprefix("runs/").partition("/")
        return _in_run().fullmatch(inside) is not None
    return _in_state().fullmatch(path) is not None


def strangers(folder: Path) -> Iterator[str]:
    """Yield every file below STATE_ROOT that is not ours, in order; no link is followed."""
    for path, is_link in _walk(folder, folder):
        if is_link or not (is_ours(path) or is_debris(path)):
            yield path


def remove(folder: Path, run: Path) -> None:
    """Remove our files in a folder of the run `run`, then the folders that are empty; nothing behind a link."""
    if folder.is_symlink():
        return
    inside = [path for path, is_link in _walk(folder, run) if not is_link and _is_of_run(path)]
    for path in sorted(inside, key=lambda one: one in _RECORDS):
        (run / path).unlink(missing_ok=True)
    for above, _, _ in os.walk(folder, topdown=False):
        with contextlib.suppress(OSError):  # the folder holds other files
            Path(above).rmdir()


def _is_of_run(path: str) -> bool:
    folder, _, name = path.rpartition("/")
    found = _WRITING.fullmatch(name)
    names = [path, *([f"{folder}/{found[1]}" if folder else found[1]] if found else [])]
    return any(_in_run().fullmatch(one) for one in names)


def _walk(folder: Path, base: Path) -> Iterator[tuple[str, bool]]:
    """Yield the path, relative to `base`, of everything below `folder` except folders, and whether it is a link."""
    for above, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted([*names, *(one for one in folders if (Path(above) / one).is_symlink())]):
            path = Path(above) / name
            yield str(path.relative_to(base)), path.is_symlink()


@cache
def _in_run() -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{one})" for one in _OF_RUN))


@cache
def _in_state() -> re.Pattern[str]:
    """Return the pattern of all names in the catalog, with their locks and with what was moved aside."""
    names = [one.path.removeprefix("STATE_ROOT/") for one in CATALOG if one.path.startswith("STATE_ROOT/")]
    patterns = []
    for name in (one for one in names if not one.startswith("runs/")):
        pattern = re.escape(name)
        for place, words in _PLACES.items():
            pattern = pattern.replace(re.escape(place), words)
        patterns.append(pattern)
    return re.compile(f"(?:{'|'.join(patterns)})(?:\\.lock|\\.1|\\.1\\.lock|\\.bad|\\.bad\\.lock)?")
