"""Which state root this is, however its path is spelled or copied, and whether its swarm lives where we can see it.

A root has a random id, which `root.json` names together with the folder's device and inode: in a copy they do not fit,
so a copy has no id until it is given one, and no process of the original's is ever its own. A folder that was moved
keeps its inode and with it its id. Every process of the swarm carries the id in its environment. The record also names
the PID namespace in which the swarm runs: from another one (a container beside its host) nobody can tell a dead process
from one that cannot be seen, so from there a swarm of which somebody holds `alive.lock` is only observed.
"""

import os
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from config.errors import Refused
from config.record import asdict, dataclass
from state.files import codec, flock, private, snapshot

MARK = "BACKTEST_OPTIMIZE_ROOT"  # in the environment of every process of a swarm: the id of its root
RUN = "BACKTEST_OPTIMIZE_RUN"  # in that of a worker: the run that it works for
WORKER = "BACKTEST_OPTIMIZE_WORKER"  # in that of a worker and of all that it starts: its id
ALIVE = "alive.lock"  # held by whoever of the swarm lives; see state/host/presence.py
_RECORD = "root.json"
_PROC = Path("/proc")
# What a copy holds about processes of the original's; everything else in it is data.
_OF_PROCESSES = ("swarm.json", "keeper.json", "launch_holder.json", "gpu_question.json", "rescue_state.json")
_FOLDERS_OF_PROCESSES = ("workers", "heartbeats", "exits", "loops")


@dataclass(frozen=True)
class Mark:
    """`root.json`. The device's number holds within one boot; `namespace` is 0 where nobody could tell."""

    id: str
    device: int
    inode: int
    boot_id: str
    namespace: int


@dataclass(frozen=True)
class Root:
    """A root as it is found. Without a mark: nobody of this version has started a swarm in it yet."""

    path: Path
    mark: Mark | None = None
    is_copy: bool = False

    @property
    def id(self) -> str:
        """Its own id; nothing where it has none yet, or only that of the folder it was copied from."""
        return "" if self.mark is None or self.is_copy else self.mark.id

    def owns(self, words: Sequence[bytes]) -> bool:
        """Whether a process with this environment was started for this root.

        One of the version before carries no id: it counts by the path that it was told, as do all where the root itself
        has none (its record was lost).
        """
        if self.is_copy:
            return False
        said = value_of(words, MARK)
        if said and self.id:
            return said == self.id
        path = value_of(words, "STATE_ROOT")
        return path.startswith("/") and os.path.realpath(path) == str(self.path)


@cache
def boot_id() -> str:
    """The kernel's id of this boot: records of another boot speak of processes that are gone."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


@cache
def namespace() -> int:
    """The PID namespace of this process, which gives pids their meaning; 0 where the system has none."""
    try:
        return (_PROC / "self" / "ns" / "pid").stat().st_ino
    except OSError:
        return 0


def value_of(words: Sequence[bytes], variable: str) -> str:
    """The value of a variable in an environment as the kernel shows it; nothing when it is not there."""
    head = f"{variable}=".encode()
    return next((os.fsdecode(word[len(head) :]) for word in words if word.startswith(head)), "")


def look(state: Path) -> Root:
    """The root as it is now: one small file and one look at the folder."""
    path = Path(os.path.realpath(state))
    mark = _mark(snapshot.read_json(path / _RECORD))
    try:
        found = path.stat()
    except OSError:
        return Root(path, mark)
    if mark is None:
        return Root(path)
    moved_disk = mark.boot_id == boot_id() and mark.device != found.st_dev
    return Root(path, mark, mark.inode != found.st_ino or moved_disk)


def home(root: Root) -> int | None:
    """The PID namespace in which its swarm lives, when that is another than ours and somebody there is alive."""
    mark = root.mark
    if mark is None or root.is_copy or mark.boot_id != boot_id() or mark.namespace in (0, namespace()):
        return None
    return mark.namespace if _is_held(root.path / ALIVE) else None


def from_outside(root: Root) -> str | None:
    """Why its swarm is only observed from here; None when it is not."""
    there = home(root)
    if there is None:
        return None
    return (
        f"the swarm of {root.path} runs in another PID namespace (pid:[{there}], here it is pid:[{namespace()}]): "
        "its processes cannot be seen from here, so it is only observed"
    )


def must_be_here(root: Root) -> None:
    """Return when its swarm may be acted on from here.

    Raises:
        Refused: it lives in another PID namespace; says where.
    """
    if (why := from_outside(root)) is not None:
        way_out = "type it where the swarm was started (on the host, or in that container): there, readlink "
        raise Refused(why, f"{way_out}/proc/self/ns/pid says pid:[{home(root)}]")


def settle(state: Path) -> tuple[Root, int]:
    """Give the root an id of its own if it has none, and say that its swarm lives here from now on.

    A copy forgets what it holds about processes of the original's. Call it under the launch lock, before anything is
    started or ended. The root, and how many records a copy forgot.

    Raises:
        Refused: its swarm lives in another PID namespace.
    """
    root = look(state)
    must_be_here(root)
    forgotten = sum(map(_forget, _of_processes(root.path))) if root.is_copy else 0
    known = root.id or _heard(root) or os.urandom(16).hex()
    mark = _made(root.path, known)
    if mark != root.mark:
        snapshot.write_json(root.path / _RECORD, asdict(mark))
    return Root(root.path, mark), forgotten


def restore(state: Path, known: str) -> None:
    """Put the record of a root that lost it back, for a process that was started for it; another's is left alone."""
    path = Path(os.path.realpath(state))
    if not os.path.lexists(path / _RECORD):
        private.folder(path)
        snapshot.write_new(path / _RECORD, codec.encode(asdict(_made(path, known or os.urandom(16).hex()))))


def _is_held(lock: Path) -> bool:
    try:
        with flock.held(lock, wait=False):
            return False
    except (flock.Taken, OSError):  # what cannot be asked may be held
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
    """The id that living processes of a root that lost its record say it has; nothing unless all say the same."""
    if root.is_copy:
        return ""
    ids = {value_of(words, MARK) for words in environments() if root.owns(words)} - {""}
    return ids.pop() if len(ids) == 1 else ""


def environments() -> Iterator[list[bytes]]:
    """The environment of every process that shows it."""
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            try:
                yield (folder / "environ").read_bytes().split(b"\0")
            except OSError:  # gone, or another user's
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
