"""Show by a held lock that a process of the swarm lives, and tell a process whether its state root is still its own.

The kernel's locks do not depend on PID namespaces. So from inside a container one can tell that a swarm on the host
lives, and the other way round, although its processes cannot be seen.
"""

import fcntl
import os
from pathlib import Path

from state.files import private
from state.host import root


def hold(state: Path) -> int:
    """Return a descriptor that, while it is open, shows in every PID namespace that a process of this swarm lives.

    Raises:
        OSError: the lock file cannot be made.
    """
    private.folder(state)
    descriptor = os.open(state / root.ALIVE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_SH)  # may wait for a process that only checks the lock, which takes microseconds
    return descriptor


class HeldRoot:
    """The state root that a long-lived process works in. It holds `alive.lock` there, and restores a lost `root.json`.

    The process must end when the folder was moved, or when another swarm's folder lies at its path: otherwise it would
    write beside its swarm, or into the other one.
    """

    def __init__(self, state: Path) -> None:
        self._state = state
        self._known = os.environ.get(root.MARK, "")  # "" in a process that an older version started
        self._alive, self._folder = self._entered()

    def why_leave(self) -> str:
        """Return why the process must end; "" while it may go on.

        Raises:
            OSError: a lost lock or record cannot be made anew.
        """
        if not self._is_here():
            # An open descriptor follows a folder that is moved, and the kernel appends " (deleted)" to a removed one.
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
        """Release the lock and the folder."""
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
        # A process of an older version learns the id here; from then on another id means another swarm.
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
