"""Which files below LOGS_ROOT we made: the record that says what retention may remove, rotate or close to others.

LOGS_ROOT may be anybody's folder, and names like `agents/watchdog.log` or `keeper.log` may be anybody's, so names prove
nothing there. Whoever makes a log puts its path and its inode on file at once; a file counts as ours while both fit and
the record was written in this STATE_ROOT, not in one that was copied. Without the record nothing is ours, and what is
not ours is left alone.
"""

import contextlib
import os
import stat
from pathlib import Path
from typing import BinaryIO

from state.files import private
from state.files.journal import Journal
from state.files.layout import Roots

_LONG_BYTES = 200_000  # some two thousand logs; then the names of those that are gone are dropped
_MOST_ASIDE = 9  # of one log; all of these names being somebody else's, it is not rotated


def log(roots: Roots, path: Path) -> BinaryIO:
    """A log below LOGS_ROOT to append to, for us alone; on record when it was not there before.

    Raises:
        OSError: no plain file lies there, or it cannot be written.
    """
    private.folder(path.parent)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return private.log(path)
    note(roots, path, os.fstat(descriptor).st_ino)
    return os.fdopen(descriptor, "ab")


def note(roots: Roots, path: Path, inode: int) -> None:
    """Put on record that we made it; where that fails, the file is nobody's of ours and is left alone."""
    with contextlib.suppress(OSError):
        private.folder(roots.state)
        _journal(roots).append({"path": str(path.relative_to(roots.logs)), "inode": inode, "root": _root(roots)})


def on_record(roots: Roots) -> dict[str, int]:
    """Path below LOGS_ROOT → inode of every file that we made; the files may be gone by now."""
    root, found = _root(roots), dict[str, int]()
    for record in _journal(roots).read().records:
        if isinstance(record, dict) and record.get("root") == root:
            path, inode = record.get("path"), record.get("inode")
            if isinstance(path, str) and isinstance(inode, int) and _is_below(path):
                found[path] = inode
    return found


def ours(roots: Roots) -> dict[str, os.stat_result]:
    """Every log that we made and that is there: path below LOGS_ROOT → what it is. Nothing behind a link."""
    found = ((path, _stat(roots.logs, path), inode) for path, inode in on_record(roots).items())
    return {path: there for path, there, inode in found if there is not None and there.st_ino == inode}


def is_ours(roots: Roots, path: str) -> bool:
    """Whether we made the file at `path` below LOGS_ROOT, and no other name leads to it."""
    there = ours(roots).get(path)
    return there is not None and there.st_nlink == 1


def move_aside(roots: Roots, path: Path) -> bool:
    """Give a log of ours its next name, `<name>.1` where that is free or ours; False: it stays."""
    name = str(path.relative_to(roots.logs))
    aside = aside_of(roots, name) if is_ours(roots, name) else None
    if aside is None:
        return False
    inode = path.lstat().st_ino
    path.replace(roots.logs / aside)
    note(roots, roots.logs / aside, inode)
    return True


def aside_of(roots: Roots, name: str) -> str | None:
    """The name that the older part of a log gets: never that of a file that somebody else made."""
    mine = ours(roots)
    names = (f"{name}.{number}" for number in range(1, _MOST_ASIDE + 1))
    return next((one for one in names if one in mine or not os.path.lexists(roots.logs / one)), None)


def compact(roots: Roots) -> None:
    """Drop the names of files that are gone, when the record has grown long."""
    journal = _journal(roots)
    with contextlib.suppress(OSError):
        if journal.path.stat().st_size > _LONG_BYTES:
            root = _root(roots)
            journal.rewrite(lambda _: ({"path": p, "inode": i.st_ino, "root": root} for p, i in ours(roots).items()))


def _journal(roots: Roots) -> Journal:
    return Journal(roots.made, durable=False)


def _root(roots: Roots) -> int | None:
    """Tells this STATE_ROOT from a copy of it; a device's number may change with every boot and says nothing."""
    try:
        return roots.state.stat().st_ino
    except OSError:
        return None


def _is_below(path: str) -> bool:
    parts = Path(path).parts
    return bool(parts) and ".." not in parts and not path.startswith("/")


def _stat(folder: Path, path: str) -> os.stat_result | None:
    """Of a plain file none of whose folders below `folder` is a link."""
    here = folder
    try:
        for part in Path(path).parts[:-1]:
            here /= part
            if not stat.S_ISDIR(here.lstat().st_mode):
                return None
        there = (folder / path).lstat()
    except OSError:
        return None
    return there if stat.S_ISREG(there.st_mode) else None
