"""Nudges, which tell an agent's loop to begin its next cycle at once.

A nudge only saves time: when one is lost, the agent sees the news one cadence later.
"""

import contextlib
import os
from pathlib import Path

from state.files import private


def nudge(pipe: Path) -> None:
    """Wake the loop that reads `pipe`, if one does. It never blocks and never fails."""
    with contextlib.suppress(OSError):
        # With O_NONBLOCK the open fails at once when no loop listens.
        descriptor = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(descriptor, b"x")
        finally:
            os.close(descriptor)


def listen(pipe: Path) -> int:
    """Return a descriptor that becomes readable with a nudge. The pipe is made, also in the place of another file."""
    private.folder(pipe.parent)
    if pipe.exists() and not pipe.is_fifo():
        pipe.unlink()
    with contextlib.suppress(FileExistsError):
        os.mkfifo(pipe, 0o600)
    # Opened for reading and writing, so that the pipe never reports its end when a writer closes it.
    return os.open(pipe, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)


def drain(descriptor: int) -> None:
    """Discard all nudges so far."""
    with contextlib.suppress(BlockingIOError):
        while os.read(descriptor, 4096):
            pass
