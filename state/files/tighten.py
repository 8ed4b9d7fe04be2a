"""Make the roots closed to other users, and close what earlier versions left open in them.

Only files of ours are closed: below STATE_ROOT by their names, below LOGS_ROOT by the record of what we made. A folder
is closed when nothing else lies in it. A file that has a second name elsewhere is left as it is.
"""

import contextlib
import os
import stat
from pathlib import Path

from config.errors import Refused
from state.files.layout import Roots
from state.files.private import CLOSED, shared


def prepare(roots: Roots, deep: bool = False) -> None:
    """Make the roots, state and logs closed to others; with `deep`, look for open files in closed folders, too.

    Raises:
        Refused: a root belongs to another user.
    """
    with shared():
        for above in (roots.results, roots.state.parent, roots.logs.parent):
            above.mkdir(parents=True, exist_ok=True)
    for root, label in ((roots.state, "STATE_ROOT"), (roots.logs, "LOGS_ROOT")):
        root.mkdir(mode=0o700, exist_ok=True)
        owner = root.stat().st_uid
        if owner != os.geteuid() and os.geteuid() != 0:
            raise Refused(f"{label} {root} belongs to user {owner}", f"name a folder of your own in {label}")
    _Tightener(roots.state, deep).all()
    _Logs(roots.logs, deep, roots).all()


class _Tightener:
    """Closes our files below STATE_ROOT."""

    def __init__(self, root: Path, deep: bool) -> None:
        self._root, self._deep = root, deep

    def all(self) -> None:
        """Close our files, and the root itself when nothing else lies in it and it has no sticky bit."""
        # A folder with the sticky bit is shared on purpose, as /tmp is.
        alone = self._inside(self._root)
        if alone and not self._root.stat().st_mode & stat.S_ISVTX:
            _close(self._root)

    def _inside(self, folder: Path) -> bool:
        """Close our files in a folder; return whether nothing else lies in it (checked for open folders only)."""
        is_open, alone = _is_open(folder), True
        for entry in _entries(folder):
            alone &= self._close(Path(entry.path), is_open)
        return alone

    def _close(self, path: Path, is_asked: bool) -> bool:
        """Close a file or folder if it is ours; return whether it is. `is_asked`: the caller needs the answer."""
        mode = _mode(path)
        if stat.S_ISDIR(mode):
            if not (self._deep or mode & CLOSED):
                return not is_asked or self._is_folder(path)
            is_ours = self._is_folder(path) and self._inside(path)
            if is_ours and any(_entries(path)):
                _close(path)
            return is_ours
        if stat.S_ISLNK(mode) or not (is_asked or mode & CLOSED):
            return not stat.S_ISLNK(mode)
        is_ours = self._is_file(str(path.relative_to(self._root)))
        # A second name may belong to a person, for whom the mode would change as well.
        if is_ours and path.lstat().st_nlink == 1:
            _close(path)
        return is_ours

    def _is_file(self, path: str) -> bool:
        from state.files import ours  # importing it takes 3 ms, so it is imported only when something is open

        return ours.is_ours(path) or ours.is_debris(path)

    def _is_folder(self, path: Path) -> bool:
        """Whether the folder is ours by its name; deeper folders are judged by what lies in them."""
        from state.files import ours  # a late import, as above

        return path.parent != self._root or path.name in ours.FOLDERS


class _Logs(_Tightener):
    """Closes our files below LOGS_ROOT."""

    def __init__(self, root: Path, deep: bool, roots: Roots) -> None:
        super().__init__(root, deep)
        self._roots = roots
        self._made: set[str] | None = None

    def _is_file(self, path: str) -> bool:
        return path in self._on_record()

    def _is_folder(self, path: Path) -> bool:
        name = str(path.relative_to(self._root))
        return any(one.startswith(f"{name}/") for one in self._on_record())

    def _on_record(self) -> set[str]:
        from state.files import made  # a late import, as above

        if self._made is None:
            self._made = set(made.ours(self._roots))
        return self._made


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    with contextlib.suppress(OSError):
        return list(os.scandir(folder))
    return []


def _mode(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.lstat().st_mode
    return 0


def _is_open(path: Path) -> bool:
    return bool(_mode(path) & CLOSED)


def _close(path: Path) -> None:
    with contextlib.suppress(OSError):  # the file is gone, or the disk is read-only
        found = path.lstat()
        if not stat.S_ISLNK(found.st_mode) and found.st_mode & CLOSED:
            path.chmod(stat.S_IMODE(found.st_mode) & ~CLOSED)
