"""Identify a state root, even a moved or copied one, and tell whether its swarm's processes can be seen here.

A root has a random id, which `root.json` holds together with the folder's device and inode. In a copy, device and inode
do not fit, so a copy has no id until it is given one, and no process of the original belongs to it. A folder that was
moved keeps its inode, and so its id. Every process of the swarm has the id in its environment. The record also holds
the PID namespace in which the swarm runs. From another namespace (a container beside its host), a dead process cannot
be told from one that cannot be seen, so from there a swarm whose `alive.lock` is held is only observed.
"""

import os
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from config.errors import Refused
from config.record import asdict, dataclass
from state.files import codec, flock, private, snapshot

MARK = "BACKTEST_OPTIMIZE_ROOT"  # variable of every process of a swarm: the id of its root
RUN = "BACKTEST_OPTIMIZE_RUN"  # variable of a worker: its run
WORKER = "BACKTEST_OPTIMIZE_WORKER"  # variable of a worker and of all processes that it starts: the worker's id
ALIVE = "alive.lock"  # held by every living process of the swarm; see state/host/presence.py
_RECORD = "root.json"
_PROC = Path("/proc")
# The records about processes, which in a copy are those of the original. Everything else is data.
_OF_PROCESSES = ("swarm.json", "keeper.json", "launch_holder.json", "gpu_question.json", "rescue_state.json")
_FOLDERS_OF_PROCESSES = ("workers", "heartbeats", "exits", "loops")


@dataclass(frozen=True)
class Mark:
    """The contents of `root.json`. The device number is valid within one boot; `namespace` is 0 when it is unknown."""

    id: str
    device: int
    inode: int
    boot_id: str
    namespace: int


@dataclass(frozen=True)
class Root:
    """A root as it is found. Without a mark, no swarm of this version was started in it yet."""

    path: Path
    mark: Mark | None = None
    is_copy: bool = False

    @property
    def id(self) -> str:
        """The root's own id; "" when it has none yet, or only that of the root it was copied from."""
        return "" if self.mark is None or self.is_copy else self.mark.id

    def owns(self, words: Sequence[bytes]) -> bool:
        """Whether a process with this environment was started for this root.

        A process of an older version has no id, and a root that lost its record has none either. Then the path in the
        process's environment decides.
        """
        if self.is_copy:
            return False
        said = value_of(words, MARK)
        if said and self.id:
            return said == self.id
        # A relative path would depend on the folder in which the other process runs.
        path = value_of(words, "STATE_ROOT")
        return path.startswith("/") and os.path.realpath(path) == str(self.path)


@cache
def boot_id() -> str:
    """Return the kernel's id of this boot. Records of another boot are about processes that are gone."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


@cache
def namespace() -> int:
    """Return the PID namespace of this process, in which its pids are valid; 0 when the system has none."""
    try:
        return (_PROC / "self" / "ns" / "pid").stat().st_ino
    except OSError:
        return 0


def value_of(words: Sequence[bytes], variable: str) -> str:
    """Return the value of a variable in an environment as the kernel shows it; "" when it is not set."""
    head = f"{variable}=".encode()
    return next((os.fsdecode(word[len(head) :]) for word in words if word.startswith(head)), "")


def look(state: Path) -> Root:
    """Return the root as it is now, from one small file and the status of its folder."""
    path = Path(os.path.realpath(state))
    mark = _mark(snapshot.read_json(path / _RECORD))
    try:
        found = path.stat()
    except OSError:
        return Root(path, mark)
    if mark is None:
        return Root(path)
    # Device numbers may change at boot, so they are compared within one boot only.
    moved_disk = mark.boot_id == boot_id() and mark.device != found.st_dev
    return Root(path, mark, mark.inode != found.st_ino or moved_disk)


def home(root: Root) -> int | None:
    """Return the PID namespace of the root's swarm, if the swarm lives in another one than ours; else None."""
    mark = root.mark
    if mark is None or root.is_copy or mark.boot_id != boot_id() or mark.namespace in (0, namespace()):
        return None
    return mark.namespace if _is_held(root.path / ALIVE) else None


def from_outside(root: Root) -> str | None:
    """Return why the root's swarm is only observed from here; None when it may be acted on."""
    there = home(root)
    if there is None:
        return None
    return (
        f"the swarm of {root.path} runs in another PID namespace (pid:[{there}], here it is pid:[{namespace()}]): "
        "its processes cannot be seen from here, so it is only observed"
    )


def must_be_here(root: Root) -> None:
    """Check that the root's swarm may be acted on from here.

    Raises:
        Refused: the swarm lives in another PID namespace; the message says which.
    """
    if (why := from_outside(root)) is not None:
        way_out = "type it where the swarm was started (on the host, or in that container): there, readlink "
        raise Refused(why, f"{way_out}/proc/self/ns/pid says pid:[{home(root)}]")


def settle(state: Path) -> tuple[Root, int]:
    """Give the root an id of its own if it has none, and record that its swarm lives in this namespace.

    In a copy, the records about processes of the original are removed. Call it under the launch lock, before anything
    is started or ended. Returns the root, and how many records of a copy were removed.

    Raises:
        Refused: the swarm lives in another PID namespace.
    """
    root = look(state)
    must_be_here(root)
    forgotten = sum(map(_forget, _of_processes(root.path))) if root.is_copy else 0
    # Living processes of a root that lost its record still carry its id; with a new id they would be strangers.
    known = root.id or _heard(root) or os.urandom(16).hex()
    mark = _made(root.path, known)
    if mark != root.mark:
        snapshot.write_json(root.path / _RECORD, asdict(mark))
    return Root(root.path, mark), forgotten


def restore(state: Path, known: str) -> None:
    """Write the record of a root again if it is lost, with the id `known` to a process of its swarm.

    A record that is there is left alone, also another root's.
    """
    path = Path(os.path.realpath(state))
    if not os.path.lexists(path / _RECORD):
        private.folder(path)
        snapshot.write_new(path / _RECORD, codec.encode(asdict(_made(path, known or os.urandom(16).hex()))))


def _is_held(lock: Path) -> bool:
    try:
        with flock.held(lock, wait=False):
            return False
    except (flock.Taken, OSError):  # a lock that cannot be checked counts as held
        return True


def _mark(record: Any) -> Mark | None:
    if not isinstance(record, dict):
        return None
    texts, numbers = ("id", "boot_id"), ("device", "inode", "namespace")
    if not all(isinstance(record.get(name), str) and record[name] for name in texts):
        return None
    if not all(isinstance(record.get(name), int) for name in numbers):
        return None
    return Mark(**{name: record[name] for name in (*texts, *numbers)})


def _made(path: Path, known: str) -> Mark:
    found = path.stat()
    return Mark(known, found.st_dev, found.st_ino, boot_id(), namespace())


def _heard(root: Root) -> str:
    """Return the id of a root that lost its record, from the environments of its living processes.

    It is "" unless all of these processes have the same id.
    """
    if root.is_copy:
        return ""
    ids = {value_of(words, MARK) for words in environments() if root.owns(words)} - {""}
    return ids.pop() if len(ids) == 1 else ""


def environments() -> Iterator[list[bytes]]:
    """Yield the environment of every process that shows it."""
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            try:
                yield (folder / "environ").read_bytes().split(b"\0")
            except OSError:  # the process is gone, or is another user's
                continue


def _of_processes(path: Path) -> list[Path]:
    folders = [file for folder in _FOLDERS_OF_PROCESSES for file in (path / folder).glob("*.json")]
    return [*(path / name for name in _OF_PROCESSES), *folders]


def _forget(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:
        return False
    return True
