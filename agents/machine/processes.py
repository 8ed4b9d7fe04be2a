"""Signals that reach whom they mean: through a pidfd that is checked after it was opened."""

import os
import signal
from collections.abc import Callable

from state import identity
from state.identity import Identity


def send(target: Identity, number: signal.Signals, nonce: str | None = None) -> bool:
    """Send `number` to exactly this process; False when it is gone. With a nonce, only when it still carries it."""
    try:
        descriptor = os.pidfd_open(target.pid)
    except OSError:
        return False
    try:
        # The descriptor pins the process: what is checked now cannot become somebody else.
        if identity.of(target.pid) != target or (nonce is not None and not identity.carries(target.pid, nonce)):
            return False
        signal.pidfd_send_signal(descriptor, number)
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)


def signal_tree(nonce: str, number: signal.Signals, spare: Callable[[int], bool] = lambda _: False) -> int:
    """Send `number` to every process that carries the nonce, but to the spared; how many were reached."""
    return sum(send(one, number, nonce) for one in identity.holders(nonce) if not spare(one.pid))


def kill_tree(nonce: str, wrapper: Identity | None) -> int:
    """KILL the whole tree, again until nothing of it is left; its wrapper stays, to say how it ended."""
    killed = 0
    for _ in range(10):  # a process may fork while we look
        struck = signal_tree(nonce, signal.SIGKILL, lambda pid: wrapper is not None and pid == wrapper.pid)
        killed += struck
        if struck == 0:
            break
    return killed


def is_stopped(one: Identity) -> bool:
    """Whether it is in state T."""
    return identity.life_of(one) == "stopped"
