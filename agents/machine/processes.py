"""Signals that reach whom they mean: through a pidfd that is checked after it was opened."""

import os
import select
import signal
import time
from collections.abc import Callable, Set
from pathlib import Path

from state.host import identity
from state.host.identity import NONCE, Identity, Tree

_LOOKS = 5  # that find nobody in a row while others are born: 15 ms on a busy machine
_CHASE = 20  # the same for a tree of which somebody was there: it may fork faster than we look
_GLANCES = 20  # at the newborn alone after each such look: one costs a tenth of a look, and less than a fork
_NEWBORN = 12  # how many pids back a glance goes
_DEATH_S = 1.0  # for killed processes to be gone


def send(target: Identity, number: signal.Signals, tree: Tree | None = None) -> bool:
    """Send `number` to exactly this process; False when it is gone or hidden. With a tree, only to one of it."""
    return _send(target, number, lambda: tree is None or tree.has(target.pid))


def send_in(state_root: Path, target: Identity, number: signal.Signals, variable: str = NONCE) -> bool:
    """`send` to a process that the swarm of this root started; False for anybody else, whatever a record says of it.

    Where the system does not show environments the record is believed.
    """
    return _send(target, number, lambda: not identity.can_look() or identity.is_in(target.pid, state_root, variable))


def _send(target: Identity, number: signal.Signals, is_meant: Callable[[], bool]) -> bool:
    try:
        descriptor = os.pidfd_open(target.pid)
    except OSError:
        return False
    try:
        # The descriptor pins the process: what is checked now cannot become somebody else.
        if not target.is_same(identity.of(target.pid)) or not is_meant():
            return False
        signal.pidfd_send_signal(descriptor, number)
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)


def signal_tree(tree: Tree, number: signal.Signals, spare: Callable[[int], bool] = lambda _: False) -> int:
    """Send `number` to every process of the tree, but to the spared; how many were reached."""
    return sum(send(one, number, tree) for one in tree.members() if not spare(one.pid))


def kill_tree(tree: Tree, wrapper: Identity | None) -> int:
    """KILL the whole tree and see it dead; its wrapper stays, to say how it ended. How many are gone.

    First everybody is stopped, until a look finds nobody new: what is stopped cannot fork, so nobody gets away between
    a look and its signal. One that hangs in the kernel outlives this, and the next cycle's look.
    """
    if not tree.is_named:
        return 0
    known: set[Identity] = set()
    deadline = time.monotonic() + _DEATH_S
    while fresh := _look(tree, wrapper, known, _CHASE if known else _LOOKS, deadline):
        known |= set(fresh)
        for one in fresh:
            send(one, signal.SIGSTOP, tree)
    deadline = time.monotonic() + _DEATH_S
    while left := _look(tree, wrapper, frozenset(), _CHASE if known else 1, deadline):
        known |= set(left)
        for one in left:
            send(one, signal.SIGKILL, tree)
        _await(left, deadline)
    return sum(identity.of(one.pid) != one for one in known)


def _look(tree: Tree, wrapper: Identity | None, known: Set[Identity], looks: int, deadline: float) -> list[Identity]:
    """Those of the tree that are not known yet; nobody once the time is over.

    A child may be born behind the back of a look, and its parent be gone before its turn: nobody is found, and somebody
    is there. So a look that finds nobody counts only when nobody at all was born meanwhile, or after many of them, and
    who was born meanwhile is stopped at a glance.
    """
    for _ in range(looks):
        if time.monotonic() >= deadline:
            break
        born = _last_born()
        found = [one for one in tree.members() if wrapper is None or one.pid != wrapper.pid]
        if fresh := [one for one in found if one not in known]:
            return fresh
        if born is not None and _last_born() == born:
            break
        _stop_newborn(tree, {one.pid for one in known} | ({wrapper.pid} if wrapper else set()))
    return []


def _stop_newborn(tree: Tree, spared: Set[int]) -> None:
    """STOP the youngest of the tree, by looking at nobody but the youngest of the machine."""
    for _ in range(_GLANCES):
        youngest = _last_born() or 0
        for pid in range(youngest, max(1, youngest - _NEWBORN), -1):
            if pid in spared:
                continue
            try:
                descriptor = os.pidfd_open(pid)
            except OSError:
                continue
            try:
                if tree.has(pid):  # asked after the descriptor was opened: it is nobody else
                    signal.pidfd_send_signal(descriptor, signal.SIGSTOP)
                    return
            except OSError:
                pass  # gone
            finally:
                os.close(descriptor)


def _last_born() -> int | None:
    """The youngest pid of this namespace; None where the kernel does not say."""
    try:
        return int(Path("/proc/loadavg").read_text(encoding="ascii").split()[-1])
    except (OSError, IndexError, ValueError):
        return None


def _await(dying: list[Identity], deadline: float) -> None:
    """Until all of them are dead, or until then."""
    for one in dying:
        try:
            descriptor = os.pidfd_open(one.pid)
        except OSError:
            continue
        try:
            if identity.of(one.pid) == one:
                select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        finally:
            os.close(descriptor)


def is_stopped(one: Identity) -> bool:
    """Whether it is in state T."""
    return identity.life_of(one) == "stopped"
