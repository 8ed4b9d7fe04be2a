"""A lock that the kernel frees when its holder dies: a flock on a file of its own.

It is the same lock as filelock's on Linux, without the 38 ms of CPU that importing filelock costs a cold cycle. Callers
that wait with a deadline use filelock, which does the polling.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from state.files import private


class Taken(Exception):
    """Another process holds the lock."""


@contextmanager
def held(path: Path, wait: bool = True) -> Iterator[None]:
    """Hold the lock at `path`; not reentrant.

    Raises:
        Taken: another process holds it, and `wait` is off.
    """
    # The lock file stays after the release: a process that waits on a removed file would hold a lock that no other
    # process sees.
    private.folder(path.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise Taken(f"{path} is held by another process") from error
        yield
    finally:
        os.close(descriptor)


def is_open_in(path: Path, pid: int) -> bool:
    """Whether a process has the lock file open, so that it holds the lock or waits for it; False when it is unknown."""
    try:
        lock = path.stat()
        return any(_is_file(one, lock) for one in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:  # the process is gone, or is another user's
        return False


def _is_file(descriptor: Path, wanted: os.stat_result) -> bool:
    try:
        found = descriptor.stat()
    except OSError:  # the descriptor was closed meanwhile
        return False
    return (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino)
