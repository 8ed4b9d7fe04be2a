"""Close what the swarm writes to other users: folders 0700, files 0600, whatever the umask. Only results are shared.

`close` is the first thing that every process of ours does, and writers also set explicit modes. Inside `shared`, the
user's own umask counts again, because results are meant to be passed on.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

UMASK = "BACKTEST_OPTIMIZE_UMASK"  # variable with the user's own umask, for the processes that ours start
CLOSED = 0o077  # the permissions that other users must not have
_is_shared = False


def close() -> None:
    """Close to other users what this process and its children make from now on; the user's umask is remembered."""
    users = os.umask(CLOSED)
    os.environ.setdefault(UMASK, f"{users:04o}")


def file_mode() -> int:
    """Return the mode for a file that is made now."""
    return 0o666 & ~_users_umask() if _is_shared else 0o600


def folder(path: Path) -> None:
    """Make a folder and its missing parents: private, or inside `shared` as open as the user's umask says."""
    path.mkdir(mode=0o777 if _is_shared else 0o700, parents=True, exist_ok=True)


@contextmanager
def shared() -> Iterator[None]:
    """Let files and folders that are made inside be as open as the user's umask says."""
    global _is_shared  # noqa: PLW0603 - a umask is the process's own as well
    before, was = os.umask(_users_umask()), _is_shared
    _is_shared = True
    try:
        yield
    finally:
        _is_shared = was
        os.umask(before)


def _users_umask() -> int:
    try:
        return int(os.environ[UMASK], 8) & 0o777
    except (KeyError, ValueError):
        now = os.umask(CLOSED)
        os.umask(now)
        return now


def log(path: Path) -> BinaryIO:
    """Open a private log for appending. A link in its place is replaced, because it may point to a file of others.

    Raises:
        OSError: the path is no plain file, or it cannot be written.
    """
    folder(path.parent)
    # O_NOFOLLOW covers a link that appears after the check; O_NONBLOCK keeps a pipe from blocking the open.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    if path.is_symlink():
        path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, flags, 0o600), "ab")
