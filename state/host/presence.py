"""That somebody of a swarm is alive, as a held lock, and whether the folder he was started for still is his.

The lock is the kernel's, which knows no PID namespaces: from a container its host's swarm is seen to live, and the
other way round, although none of its processes can be.
"""

import fcntl
import os
from pathlib import Path

from state.files import private
from state.host import root


def hold(state: Path) -> int:
    """A descriptor that says, in every PID namespace, that somebody of this swarm is alive, for as long as it is open.

    Raises:
        OSError: the lock file cannot be made.
    """
    private.folder(state)
    descriptor = os.open(state / root.ALIVE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_SH)  # who only asks holds it for microseconds
    return descriptor


class HeldRoot:
    """The state root that a long-lived process works in: it holds `alive.lock` there, and restores a lost `root.json`.

    When the folder is moved away, or what lies at its path has become another swarm's, it is to end: what it went on to
    write there would be beside the swarm, or into the other one.
    """

    def __init__(self, state: Path) -> None:
        self._state = state
        self._known = os.environ.get(root.MARK, "")  # nothing in a process of the version before
        self._alive, self._folder = self._entered()

    def why_leave(self) -> str:
        """Why there is nothing to do here any more; nothing while all is as it was.

        Raises:
            OSError: what was lost cannot be made anew.
        """
        if not self._is_here():
            where = str(Path(f"/proc/self/fd/{self._folder}").readlink())
            if not where.endswith(" (deleted)") and where != str(self._state):
                return f"{self._state} was moved to {where}: start it there"
            self.close()
            self._alive, self._folder = self._entered()
        elif not _is_file(self._alive, self._state / root.ALIVE):
            os.close(self._alive)
            self._alive = hold(self._state)
        return self._whose()

    def close(self) -> None:
        """Hold nothing any more."""
        os.close(self._folder)
        os.close(self._alive)

    def _entered(self) -> tuple[int, int]:
        alive = hold(self._state)
        return alive, os.open(self._state, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def _is_here(self) -> bool:
        return _is_file(self._folder, self._state)

    def _whose(self) -> str:
        root.restore(self._state, self._known)
        found = root.look(self._state)
        self._known = self._known or found.id
        if found.is_copy or found.id not in ("", self._known):
            return f"{self._state} is another swarm's now, which was copied or started there"
        return ""


def _is_file(descriptor: int, path: Path) -> bool:
    try:
        found, held = path.stat(), os.fstat(descriptor)
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (held.st_dev, held.st_ino)
