"""Which process is meant, so that no signal ever reaches a stranger who inherited its number.

Measured on Linux 6.18: (pid, start time) collided in 195 of 200 fast reuses; the inode of a pidfd (kernel 6.9 and on)
in none. A record therefore names boot, pid, start time and that inode, and the PID namespace that gives the number its
meaning. Whole trees are found by their environment: a nonce, the id of their root, and the run they work for.
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

# "stopped" is alive but answers nothing (state T); a zombie is dead.
Life = Literal["running", "stopped", "dead"]

_PROC = Path("/proc")
_BLIND = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # errors of who looks, not of whom is looked at
_MINTED = re.compile("[0-9a-f]{32}")  # as nonces are minted: no word that somebody else could carry, too


@dataclass(frozen=True)
class Identity:
    """One process, for as long as the machine is up. `inode` is 0 where pidfds have none of their own.

    `namespace` is that of its pid; 0 in records of the version before, which knew one namespace only.
    """

    boot_id: str
    pid: int
    start_ticks: int
    inode: int
    namespace: int = 0

    def is_same(self, other: "Identity | None") -> bool:
        """Whether both are one process; a record without a namespace is of ours."""
        if other is None or 0 not in (self.namespace, other.namespace):
            return self == other
        return replace(self, namespace=0) == replace(other, namespace=0)


@dataclass(frozen=True)
class Tree:
    """Everybody who descends from one launch, however it forked: all of nonce, root, run and worker agree.

    `worker_id` "" is anybody's; a forged launch record can give another worker the true nonce of the first.
    """

    root: Root
    nonce: str
    run_id: str = ""
    worker_id: str = ""

    @classmethod
    def of(cls, state_root: Path, nonce: str, run_id: str = "", worker_id: str = "") -> "Tree":
        """The tree of a launch in this root, as the root is now."""
        return cls(roots.look(state_root), nonce, run_id, worker_id)

    @property
    def is_named(self) -> bool:
        """Whether only one tree can carry the nonce: a record that was forged or damaged may say what many do."""
        return _MINTED.fullmatch(self.nonce) is not None

    def has(self, pid: int) -> bool:
        """Whether the process belongs to it. One of an earlier version names no run, or no worker."""
        words = _environment(pid)
        if not self.is_named or f"{NONCE}={self.nonce}".encode() not in words or not self.root.owns(words):
            return False
        if self.worker_id and value_of(words, WORKER) not in ("", self.worker_id):
            return False
        return not value_of(words, MARK) or value_of(words, RUN) == self.run_id

    def members(self) -> list[Identity]:
        """Every living process of it (2.3 ms a machine)."""
        return [one for pid in _pids() if self.has(pid) and (one := of(pid)) is not None] if self.is_named else []


def of(pid: int) -> Identity | None:
    """The process that has this pid now; None when there is none, or a zombie.

    Raises:
        OSError: this process, or the machine, has no descriptor or memory left to look: that says nothing of anybody.
    """
    found = _look(pid)
    return None if found is None else found[0]


def _look(pid: int) -> tuple[Identity, str] | None:
    """The process that has this pid now, and its state letter."""
    try:
        descriptor = os.pidfd_open(pid)
    except OverflowError:  # a record may name a number that no process can have
        return None
    except OSError as error:
        _must_be_gone(error)
        return None
    try:
        stat = _stat(pid)
        if stat is None or stat[0] == "Z":
            return None
        return Identity(boot_id(), pid, stat[1], os.fstat(descriptor).st_ino, namespace()), stat[0]
    finally:
        os.close(descriptor)


def _must_be_gone(error: OSError) -> None:
    """Raise a failed look again that does not mean that nobody is there."""
    if error.errno in _BLIND:
        raise error


def mine() -> Identity:
    """This process."""
    identity = of(os.getpid())
    assert identity is not None, "a process always finds itself"
    return identity


def life_of(identity: Identity) -> Life:
    """Whether exactly this process lives; raises as `of` does where nobody can be looked at."""
    found = _look(identity.pid) if identity.boot_id == boot_id() else None
    if found is None or not found[0].is_same(identity):
        return "dead"
    return "stopped" if found[1] in "Tt" else "running"


def cpu_s(identity: Identity) -> float | None:
    """Seconds of CPU that exactly this process has had so far, on all cores; None when it is gone."""
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
    """Every living process whose environment carries `nonce`, which this very process has minted (2.3 ms a machine).

    What a record says may be forged: for that there are `Tree` and `of_swarm`, which match by more than one variable.
    """
    return [one for pid in _pids() if carries(pid, nonce, variable) and (one := of(pid)) is not None]


def of_swarm(state_root: Path, variable: str = NONCE) -> list[Identity]:
    """Every living process that was started by the swarm of this root: whatever records of it are left or lost.

    `variable`: what else it must carry, whatever its value.
    """
    root = roots.look(state_root)
    found = (pid for pid in _pids() if _is_of(_environment(pid), root, variable))
    return [one for pid in found if (one := of(pid)) is not None]


def is_in(pid: int, state_root: Path, variable: str = NONCE) -> bool:
    """Whether the process was started by the swarm of this root; a shell that only names the root was not."""
    return _is_of(_environment(pid), roots.look(state_root), variable)


def _is_of(words: Sequence[bytes], root: Root, variable: str) -> bool:
    return bool(value_of(words, variable)) and root.owns(words)


def _pids() -> list[int]:
    return [int(folder.name) for folder in _PROC.iterdir() if folder.name.isdigit()]


def carries(pid: int, nonce: str, variable: str = NONCE) -> bool:
    """Whether the process was started with this nonce."""
    return f"{variable}={nonce}".encode() in _environment(pid)


def _environment(pid: int) -> list[bytes]:
    try:
        return (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError as error:  # gone, or another user's
        _must_be_gone(error)
        return []


def _stat(pid: int) -> tuple[str, int] | None:
    """State letter and start time in ticks since boot."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        _must_be_gone(error)
        return None
    after = text.rpartition(")")[2].split()  # the name before it may hold anything
    return after[0], int(after[19])
