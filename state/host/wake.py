"""A nudge: tells an agent's loop that there is something to see before its next cadence.

Only ever an acceleration: what is lost here is seen one cadence later.
"""

import contextlib
import os
from pathlib import Path

from state.files import private


def nudge(pipe: Path) -> None:
    """Wake who reads `pipe`, if anybody does; never blocks, never fails."""
    with contextlib.suppress(OSError):
        descriptor = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(descriptor, b"x")
        finally:
            os.close(descriptor)


def listen(pipe: Path) -> int:
    """A descriptor that becomes readable when somebody nudges; made anew if something else lies there."""
    private.folder(pipe.parent)
    if pipe.exists() and not pipe.is_fifo():
        pipe.unlink()
    with contextlib.suppress(FileExistsError):
        os.mkfifo(pipe, 0o600)
    # Read and write, so that the pipe never reports its end when a writer leaves.
    return os.open(pipe, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)


def drain(descriptor: int) -> None:
    """Forget all nudges so far."""
    with contextlib.suppress(BlockingIOError):
        while os.read(descriptor, 4096):
            pass
