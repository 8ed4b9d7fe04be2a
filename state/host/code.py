"""Which code this is: a hash over the sources of one folder, the same number on both planes."""

import os
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from state.files import digest
from state.files.layout import CHECKOUT

Signature = tuple[tuple[str, int, int], ...]

_known: dict[Signature, str] = {}  # a process that looks every few seconds reads only what has changed
_KEPT = 16
_KINDS = (".py", ".js", ".css")  # pages are results, too
_NO_SOURCES = ("__pycache__", "run")  # and hidden ones: virtual environments and caches lie beside the sources


def work() -> str:
    """The hash of the work plane's sources: what decides the results; "" where they cannot be read just now."""
    return _hash(CHECKOUT / "WORKFLOW", (CHECKOUT / "WORKFLOW",))


def control() -> str:
    """The hash of all that an agent's cycle runs; "" where they cannot be read just now."""
    return _hash(CHECKOUT, (CHECKOUT / name for name in ("agents", "config", "hooks", "state")))


@cache
def running() -> str:
    """The same of this process, asked as it begins: a checkout that is upgraded later does not change what it runs."""
    return control()


def hash_of(base: Path, paths: Iterable[Path]) -> str:
    """The hash of these files: their names relative to `base`, and what is in them.

    Raises:
        OSError: one of them cannot be read.
    """
    return digest.short(*(part for path in paths for part in (str(path.relative_to(base)).encode(), path.read_bytes())))


def sources(folder: Path) -> list[Path]:
    """All source files below a folder, in order."""
    return sorted(Path(path) for path, _, _ in _marks(str(folder)))


def _hash(base: Path, folders: Iterable[Path]) -> str:
    """A checkout that is being replaced has files that come and go: no answer, and the next look has one."""
    try:
        signature = tuple(sorted(mark for folder in folders for mark in _marks(str(folder))))
        if signature not in _known:
            if len(_known) >= _KEPT:
                _known.clear()
            _known[signature] = hash_of(base, sorted(Path(path) for path, _, _ in signature))
        return _known[signature]
    except OSError:
        return ""


def _marks(folder: str) -> Iterator[tuple[str, int, int]]:
    """Name, time and size of every source below a folder; pathlib takes five times as long, in every agent's cycles."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(_KINDS):
                stat = entry.stat()
                yield entry.path, stat.st_mtime_ns, stat.st_size
            elif entry.name not in _NO_SOURCES and entry.name[0] != "." and entry.is_dir(follow_symlinks=False):
                yield from _marks(entry.path)
