"""Make the roots closed to others, and close what earlier versions left open in them."""

import contextlib
import fnmatch
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from config.errors import Refused
from state.catalog import CATALOG
from state.layout import Roots
from state.private import CLOSED, shared


def prepare(roots: Roots, deep: bool = False) -> None:
    """Make the roots, state and logs closed to others; with `deep`, close all that earlier versions left open.

    Raises:
        Refused: a root belongs to somebody else.
    """
    with shared():
        for above in (roots.results, roots.state.parent, roots.logs.parent):
            above.mkdir(parents=True, exist_ok=True)
    for root, label in ((roots.state, "STATE_ROOT"), (roots.logs, "LOGS_ROOT")):
        root.mkdir(mode=0o700, exist_ok=True)
        owner = root.stat().st_uid
        if owner != os.geteuid() and os.geteuid() != 0:
            raise Refused(f"{label} {root} belongs to user {owner}", f"name a folder of your own in {label}")
        _tighten(root, tuple(_names(label)), deep)


def _tighten(root: Path, names: tuple[str, ...], deep: bool) -> None:
    """Close what is ours in `root`, and `root` itself when nothing else lies in it: it may be anybody's folder."""
    entries = sorted(root.iterdir())
    ours = [path for path in entries if any(fnmatch.fnmatchcase(path.name, name) for name in names)]
    if len(ours) == len(entries) and not root.stat().st_mode & stat.S_ISVTX:
        _close(root)
    for path in ours:
        _close(path)
        for folder_, folders, files in os.walk(path) if deep and not path.is_symlink() else ():
            for name in (*folders, *files):
                _close(Path(folder_) / name)


def _close(path: Path) -> None:
    with contextlib.suppress(OSError):  # gone, or the disk is read-only
        found = path.lstat()
        if not stat.S_ISLNK(found.st_mode) and found.st_mode & CLOSED:
            path.chmod(stat.S_IMODE(found.st_mode) & ~CLOSED)


def _names(root: str) -> Iterable[str]:
    """Patterns of the names that we make directly under a root: of the catalog, with locks, debris and what moved."""
    for owned in CATALOG:
        if owned.path.startswith(f"{root}/"):
            name = owned.path.removeprefix(f"{root}/").split("/")[0]
            pattern = name.replace("<RUN_ID>", "bt-*").replace("<AGENT>", "*")
            yield from (pattern, f"{pattern}.lock", f"{pattern}.[0-9]", f".{pattern}.*")
