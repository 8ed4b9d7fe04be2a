"""What the swarm writes is the user's alone: folders 0700, files 0600, whatever the umask. Results alone are shared.

`close` is the first thing every process of ours does; writers give explicit modes besides. Inside `shared` the user's
own umask counts again: results are what people pass on.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

UMASK = "BACKTEST_OPTIMIZE_UMASK"  # the user's own, for processes that are started by ours
CLOSED = 0o077  # what others may do with it: nothing
_is_shared = False


def close() -> None:
    """From now on nobody else may read what this process and its children make; the user's umask is remembered."""
    users = os.umask(CLOSED)
    os.environ.setdefault(UMASK, f"{users:04o}")


def file_mode() -> int:
    """The mode of a file that is made now."""
    return 0o666 & ~_users_umask() if _is_shared else 0o600


def folder(path: Path) -> None:
    """Make a folder and those above it, as open as what is written now may be."""
    path.mkdir(mode=0o777 if _is_shared else 0o700, parents=True, exist_ok=True)


@contextmanager
def shared() -> Iterator[None]:
    """What is made inside is as open as the user's umask says."""
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
    """A log to append to, for us alone. A link in its place is replaced: what it points to may be somebody else's.

    Raises:
        OSError: no plain file lies there, or it cannot be written.
    """
    folder(path.parent)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    if path.is_symlink():
        path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, flags, 0o600), "ab")
