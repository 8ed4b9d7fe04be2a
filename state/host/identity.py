"""Identify processes, so that no signal ever reaches another process that has got the same pid.

Measured on Linux 6.18: pid and start time collided in 195 of 200 fast reuses of a pid, the inode of a pidfd (since
kernel 6.9) in none. So a record holds the boot, the pid, the start time, that inode, and the PID namespace in which the
pid is valid. All processes of a launch (its tree) are found by their environment: a nonce, the id of the root, the run
and the worker.
"""

import errno
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from config.record import dataclass, replace
from state.host import root as roots
from state.host.root import (
    MARK,
    RUN,
    WORKER,
    Root,
    boot_id,
    namespace,
    value_of,
)

__all__ = ("MARK", "NONCE", "RUN", "WORKER", "Identity", "Life", "Tree", "boot_id", "namespace")

NONCE = "BACKTEST_OPTIMIZE_NONCE"

# A "stopped" process is alive and does nothing (state T); a zombie counts as dead.
Life = Literal["running", "stopped", "dead"]

_PROC = Path("/proc")
# errors of the looking process: they say nothing about the other one
_BLIND = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_MINTED = re.compile("[0-9a-f]{32}")  # the form of a minted nonce, which no other process can have by chance


@dataclass(frozen=True)
class Identity:
    """One process of one boot. `inode` is 0 on kernels whose pidfds have no inode of their own.

    `namespace` is the PID namespace; 0 in records of an older version, which did not know it.
    """

    boot_id: str
    pid: int
    start_ticks: int
    inode: int
    namespace: int = 0

    def is_same(self, other: "Identity | None") -> bool:
        """Whether both are the same process. A record without a namespace counts as one of this namespace."""
        if other is None or 0 not in (self.namespace, other.namespace):
            return self == other
        return replace(self, namespace=0) == replace(other, namespace=0)


@dataclass(frozen=True)
class Tree:
    """All processes that descend from one launch, however they forked: their nonce, root, run and worker agree.

    With `worker_id` "" the worker is not compared. The worker is compared because a forged launch record could hold the
    nonce of another worker.
    """

    root: Root
    nonce: str
    run_id: str = ""
    worker_id: str = ""

    @classmethod
    def of(cls, state_root: Path, nonce: str, run_id: str = "", worker_id: str = "") -> "Tree":
        """Return the tree of a launch in this root, as the root is now."""
        return cls(roots.look(state_root), nonce, run_id, worker_id)

    @property
    def is_named(self) -> bool:
        """Whether the nonce has the form of a minted one; a damaged record could hold a word of many processes."""
        return _MINTED.fullmatch(self.nonce) is not None

    def has(self, pid: int) -> bool:
        """Whether a process belongs to the tree. Processes of an earlier version name no run, or no worker."""
        # The environment shows what the process was started with. It survives forks, setsid and the death of parents.
        words = _environment(pid)
        if not self.is_named or f"{NONCE}={self.nonce}".encode() not in words or not self.root.owns(words):
            return False
        if self.worker_id and value_of(words, WORKER) not in ("", self.worker_id):
            return False
        # Without the root's id the process is of an earlier version, which did not name the run either.
        return not value_of(words, MARK) or value_of(words, RUN) == self.run_id

    def members(self) -> list[Identity]:
        """Return every living process of the tree; the search takes 2.3 ms on a usual machine."""
        return [one for pid in _pids() if self.has(pid) and (one := of(pid)) is not None] if self.is_named else []


def of(pid: int) -> Identity | None:
    """Return the process that has this pid now; None when there is none, or only a zombie.

    Raises:
        OSError: this process or the machine has no descriptor or memory left to look, so nothing is known.
    """
    found = _look(pid)
    return None if found is None else found[0]


def _look(pid: int) -> tuple[Identity, str] | None:
    """Return the process that has this pid now, and its state letter; None and errors as `of`."""
    try:
        descriptor = os.pidfd_open(pid)
    except OverflowError:  # a damaged record may hold a number that no pid can have
        return None
    except OSError as error:
        _must_be_gone(error)
        return None
    # The pidfd keeps the pid from being reused while its start time is read, so both are of one process.
    try:
        stat = _stat(pid)
        if stat is None or stat[0] == "Z":
            return None
        return Identity(boot_id(), pid, stat[1], os.fstat(descriptor).st_ino, namespace()), stat[0]
    finally:
        os.close(descriptor)


def _must_be_gone(error: OSError) -> None:
    """Raise the error again unless it means that the process is gone."""
    if error.errno in _BLIND:
        raise error


def mine() -> Identity:
    """Return the identity of this process."""
    identity = of(os.getpid())
    assert identity is not None, "a process always finds itself"
    return identity


def life_of(identity: Identity) -> Life:
    """Return whether exactly this process is running, stopped or dead; raises as `of`."""
    found = _look(identity.pid) if identity.boot_id == boot_id() else None
    if found is None or not found[0].is_same(identity):
        return "dead"
    # T: stopped by a signal; t: stopped by a debugger.
    return "stopped" if found[1] in "Tt" else "running"


def cpu_s(identity: Identity) -> float | None:
    """Return the CPU seconds, on all cores, that exactly this process has used; None when it is gone."""
    found = _look(identity.pid)
    if found is None or not found[0].is_same(identity):
        return None
    try:
        text = (_PROC / str(identity.pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        _must_be_gone(error)
        return None
    after = text.rpartition(")")[2].split()
    return (int(after[11]) + int(after[12])) / os.sysconf("SC_CLK_TCK")


def can_look() -> bool:
    """Whether this system shows the environments of processes."""
    return (_PROC / "self" / "environ").exists()


def holders(nonce: str, variable: str = NONCE) -> list[Identity]:
    """Return every living process whose environment holds `nonce`, which the caller itself has minted.

    For a nonce from a record, which may be forged, use `Tree` or `of_swarm`, which compare more than one variable.
    """
    return [one for pid in _pids() if carries(pid, nonce, variable) and (one := of(pid)) is not None]


def of_swarm(state_root: Path, variable: str = NONCE) -> list[Identity]:
    """Return every living process that the swarm of this root started, whatever records are left or lost.

    The process must also have `variable` in its environment, with any value.
    """
    root = roots.look(state_root)
    found = (pid for pid in _pids() if _is_of(_environment(pid), root, variable))
    return [one for pid in found if (one := of(pid)) is not None]


def is_in(pid: int, state_root: Path, variable: str = NONCE) -> bool:
    """Whether the swarm of this root started the process. A shell that only names the root does not count."""
    return _is_of(_environment(pid), roots.look(state_root), variable)


def _is_of(words: Sequence[bytes], root: Root, variable: str) -> bool:
    return bool(value_of(words, variable)) and root.owns(words)


def _pids() -> list[int]:
    return [int(folder.name) for folder in _PROC.iterdir() if folder.name.isdigit()]


def carries(pid: int, nonce: str, variable: str = NONCE) -> bool:
    """Whether the process has this nonce in its environment."""
    return f"{variable}={nonce}".encode() in _environment(pid)


def _environment(pid: int) -> list[bytes]:
    try:
        return (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError as error:  # the process is gone, or is another user's
        _must_be_gone(error)
        return []


def _stat(pid: int) -> tuple[str, int] | None:
    """Return the state letter, and the start time in ticks since boot; None when the process is gone."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        _must_be_gone(error)
        return None
    after = text.rpartition(")")[2].split()  # the program's name before it may hold blanks and brackets
    return after[0], int(after[19])
