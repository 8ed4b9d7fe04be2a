"""Send signals only to the process that is meant: through a pidfd whose process is checked after it was opened.

A pid can be reused between a check and a kill. A pidfd always refers to the same process.
"""

import os
import select
import signal
import time
from collections.abc import Callable, Set
from pathlib import Path

from state.host import identity
from state.host.identity import NONCE, Identity, Tree

_LOOKS = 5  # looks in a row that find no process of the tree while others are born: 15 ms on a busy machine
_CHASE = 20  # such looks for a tree in which a process was found: it may fork faster than a look takes
# glances at only the newest pids after each such look: a glance costs a tenth of a look, and less than a fork
_GLANCES = 20
_NEWBORN = 12  # how many of the newest pids a glance checks
_DEATH_S = 1.0  # seconds that killed processes may take to be gone


def send(target: Identity, number: signal.Signals, tree: Tree | None = None) -> bool:
    """Send a signal to exactly this process, with `tree` only if it is part of the tree; return whether it was sent."""
    return _send(target, number, lambda: tree is None or tree.has(target.pid))


def send_in(state_root: Path, target: Identity, number: signal.Signals, variable: str = NONCE) -> bool:
    """Send a signal to a process only if the swarm of this root started it; return whether it was sent.

    A record of the process may be forged or old, so the process's environment decides. On a system that does not show
    environments, the record is believed.
    """
    return _send(target, number, lambda: not identity.can_look() or identity.is_in(target.pid, state_root, variable))


def _send(target: Identity, number: signal.Signals, is_meant: Callable[[], bool]) -> bool:
    try:
        descriptor = os.pidfd_open(target.pid)
    except OSError:
        return False
    try:
        # The descriptor pins the process: the one that is checked now is the one that gets the signal.
        if not target.is_same(identity.of(target.pid)) or not is_meant():
            return False
        signal.pidfd_send_signal(descriptor, number)
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)


def signal_tree(tree: Tree, number: signal.Signals, spare: Callable[[int], bool] = lambda _: False) -> int:
    """Send a signal to every process of the tree that `spare` does not name; return how many were reached."""
    return sum(send(one, number, tree) for one in tree.members() if not spare(one.pid))


def kill_tree(tree: Tree, wrapper: Identity | None) -> int:
    """Kill the whole tree except its wrapper, which records the end; return how many processes are gone.

    First all processes are stopped, until a look finds no new one: a stopped process cannot fork, so none escapes
    between a look and its signal. Only then are they killed. A process that hangs in the kernel survives; the next
    cycle sees that.
    """
    # A damaged record may hold a nonce that many processes have: then nothing is killed.
    if not tree.is_named:
        return 0
    known: set[Identity] = set()
    deadline = time.monotonic() + _DEATH_S
    while fresh := _look(tree, wrapper, known, _CHASE if known else _LOOKS, deadline):
        known |= set(fresh)
        for one in fresh:
            send(one, signal.SIGSTOP, tree)
    deadline = time.monotonic() + _DEATH_S
    # Every look of this loop starts anew, because a process may have been forked between the last look and its stop.
    while left := _look(tree, wrapper, frozenset(), _CHASE if known else 1, deadline):
        known |= set(left)
        for one in left:
            send(one, signal.SIGKILL, tree)
        _await(left, deadline)
    return sum(identity.of(one.pid) != one for one in known)


def _look(tree: Tree, wrapper: Identity | None, known: Set[Identity], looks: int, deadline: float) -> list[Identity]:
    """Return the processes of the tree that are not known yet; none once the deadline has passed.

    A look goes through the pids. During it, a process can fork a child whose pid was passed already, and end before its
    own turn. Then the look finds none, although one is there. So a look that finds none counts only when no process at
    all was born during it, or after many such looks. Between two looks, glances at the newest pids stop newborn
    processes.
    """
    for _ in range(looks):
        if time.monotonic() >= deadline:
            break
        # Equal pids before and after the look prove that no process was born during it.
        born = _last_born()
        found = [one for one in tree.members() if wrapper is None or one.pid != wrapper.pid]
        if fresh := [one for one in found if one not in known]:
            return fresh
        if born is not None and _last_born() == born:
            break
        _stop_newborn(tree, {one.pid for one in known} | ({wrapper.pid} if wrapper else set()))
    return []


def _stop_newborn(tree: Tree, spared: Set[int]) -> None:
    """Stop the newest process of the tree, by looking only at the newest pids of the machine."""
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
                if tree.has(pid):  # checked after the descriptor was opened, so it cannot be another process
                    signal.pidfd_send_signal(descriptor, signal.SIGSTOP)
                    return
            except OSError:
                pass  # it is gone
            finally:
                os.close(descriptor)


def _last_born() -> int | None:
    """Return the newest pid of this PID namespace; None where the kernel does not say."""
    try:
        return int(Path("/proc/loadavg").read_text(encoding="ascii").split()[-1])
    except (OSError, IndexError, ValueError):
        return None


def _await(dying: list[Identity], deadline: float) -> None:
    """Wait until all of them are dead, or until the deadline."""
    for one in dying:
        try:
            descriptor = os.pidfd_open(one.pid)
        except OSError:
            continue
        try:
            # A pidfd becomes readable when its process dies, so no polling is needed.
            if identity.of(one.pid) == one:
                select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        finally:
            os.close(descriptor)


def is_stopped(one: Identity) -> bool:
    """Whether the process is stopped (state T)."""
    return identity.life_of(one) == "stopped"
