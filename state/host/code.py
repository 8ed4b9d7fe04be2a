"""Identify the code by a hash over its sources, which is the same on both planes."""

import os
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from state.files import digest
from state.files.layout import CHECKOUT

Signature = tuple[tuple[str, int, int], ...]

# signature → hash, so that a process that looks every few seconds reads the files only after a change
_known: dict[Signature, str] = {}
_KEPT = 16
_KINDS = (".py", ".js", ".css")  # scripts and styles count, because pages are results, too
_NO_SOURCES = ("__pycache__", "run")  # folders without sources; hidden ones are skipped, too


def work() -> str:
    """Return the hash of the work plane's sources, which decide the results; "" while they cannot be read."""
    return _hash(CHECKOUT / "WORKFLOW", (CHECKOUT / "WORKFLOW",))


def control() -> str:
    """Return the hash of all sources that an agent's cycle runs; "" while they cannot be read."""
    return _hash(CHECKOUT, (CHECKOUT / name for name in ("agents", "config", "hooks", "state")))


@cache
def running() -> str:
    """Return the hash of the code that this process runs.

    The first call, at the start of the process, decides: a later upgrade of the checkout does not change what it runs.
    """
    return control()


def hash_of(base: Path, paths: Iterable[Path]) -> str:
    """Return the hash of these files: their names relative to `base`, and their contents.

    Raises:
        OSError: one of them cannot be read.
    """
    return digest.short(*(part for path in paths for part in (str(path.relative_to(base)).encode(), path.read_bytes())))


def sources(folder: Path) -> list[Path]:
    """Return all source files below a folder, in order."""
    return sorted(Path(path) for path, _, _ in _marks(str(folder)))


def _hash(base: Path, folders: Iterable[Path]) -> str:
    """Return the hash of these folders; "" when files come and go, as in a checkout that is being replaced."""
    try:
        signature = tuple(sorted(mark for folder in folders for mark in _marks(str(folder))))
        if signature not in _known:
            # A long-lived loop sees few versions; the bound only guards against a checkout that changes all the time.
            if len(_known) >= _KEPT:
                _known.clear()
            _known[signature] = hash_of(base, sorted(Path(path) for path, _, _ in signature))
        return _known[signature]
    except OSError:
        return ""


def _marks(folder: str) -> Iterator[tuple[str, int, int]]:
    """Yield name, time and size of every source below a folder. Every cycle does this; pathlib is five times slower."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(_KINDS):
                stat = entry.stat()
                yield entry.path, stat.st_mtime_ns, stat.st_size
            elif entry.name not in _NO_SOURCES and entry.name[0] != "." and entry.is_dir(follow_symlinks=False):
                yield from _marks(entry.path)
