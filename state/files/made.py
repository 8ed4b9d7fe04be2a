"""The record of the files below LOGS_ROOT that we made, which retention may remove, rotate or close to others.

LOGS_ROOT may be a folder that others use, too, and names like `agents/watchdog.log` or `keeper.log` are common, so a
name proves nothing there. A program that makes a log records its path and its inode at once. A file counts as ours
while both fit and the record was written in this STATE_ROOT, not in one that was copied. Without the record no file is
ours, and files that are not ours are left alone.
"""

import contextlib
import os
import stat
from pathlib import Path
from typing import BinaryIO

from state.files import private
from state.files.journal import Journal
from state.files.layout import Roots

_LONG_BYTES = 200_000  # about two thousand logs; beyond it the names of logs that are gone are dropped
_MOST_ASIDE = 9  # names for the older part of one log; a log is not rotated when other files have all of them


def log(roots: Roots, path: Path) -> BinaryIO:
    """Open a log below LOGS_ROOT for appending, closed to others, and record it as ours when it is new.

    Raises:
        OSError: the path is no plain file, or it cannot be written.
    """
    private.folder(path.parent)
    try:
        # O_EXCL tells, without a gap between check and creation, whether this process made the file.
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return private.log(path)
    note(roots, path, os.fstat(descriptor).st_ino)
    return os.fdopen(descriptor, "ab")


def note(roots: Roots, path: Path, inode: int) -> None:
    """Record that we made a file. When that fails, the file does not count as ours and is left alone later."""
    with contextlib.suppress(OSError):
        private.folder(roots.state)
        _journal(roots).append({"path": str(path.relative_to(roots.logs)), "inode": inode, "root": _root(roots)})


def on_record(roots: Roots) -> dict[str, int]:
    """Return path and inode of every file that we made below LOGS_ROOT; the files may be gone by now."""
    root, found = _root(roots), dict[str, int]()
    for record in _journal(roots).read().records:
        if isinstance(record, dict) and record.get("root") == root:
            path, inode = record.get("path"), record.get("inode")
            if isinstance(path, str) and isinstance(inode, int) and _is_below(path):
                found[path] = inode
    return found


def ours(roots: Roots) -> dict[str, os.stat_result]:
    """Return every log that we made and that still exists, by its path below LOGS_ROOT. No link is followed."""
    found = ((path, _stat(roots.logs, path), inode) for path, inode in on_record(roots).items())
    return {path: there for path, there, inode in found if there is not None and there.st_ino == inode}


def is_ours(roots: Roots, path: str) -> bool:
    """Whether we made the file at `path` below LOGS_ROOT, and it has no second name."""
    there = ours(roots).get(path)
    return there is not None and there.st_nlink == 1


def move_aside(roots: Roots, path: Path) -> bool:
    """Rename a log of ours, to `<name>.1` if that name is free or ours; return whether it was renamed."""
    name = str(path.relative_to(roots.logs))
    aside = aside_of(roots, name) if is_ours(roots, name) else None
    if aside is None:
        return False
    inode = path.lstat().st_ino
    path.replace(roots.logs / aside)
    note(roots, roots.logs / aside, inode)
    return True


def aside_of(roots: Roots, name: str) -> str | None:
    """Return a name for the older part of a log, never that of a file that we did not make; None when there is none."""
    mine = ours(roots)
    names = (f"{name}.{number}" for number in range(1, _MOST_ASIDE + 1))
    return next((one for one in names if one in mine or not os.path.lexists(roots.logs / one)), None)


def compact(roots: Roots) -> None:
    """Drop the names of files that are gone, once the record is long."""
    journal = _journal(roots)
    with contextlib.suppress(OSError):
        if journal.path.stat().st_size > _LONG_BYTES:
            root = _root(roots)
            journal.rewrite(lambda _: ({"path": p, "inode": i.st_ino, "root": root} for p, i in ours(roots).items()))


def _journal(roots: Roots) -> Journal:
    return Journal(roots.made, durable=False)


def _root(roots: Roots) -> int | None:
    """Return the inode of STATE_ROOT, which differs in a copy. A device number would not do: it may change at boot."""
    try:
        return roots.state.stat().st_ino
    except OSError:
        return None


def _is_below(path: str) -> bool:
    parts = Path(path).parts
    return bool(parts) and ".." not in parts and not path.startswith("/")


def _stat(folder: Path, path: str) -> os.stat_result | None:
    """Return the status of a plain file if none of the folders on the way is a link, else None."""
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
