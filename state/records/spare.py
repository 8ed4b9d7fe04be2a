"""Copies, in the memory of each loop, of the few records that cannot be made again from others.

They are the settings, the tmux server, the pointer to the run under way, its order, and how its round began. Each loop
looks at them after its cycle, and the first one that finds a record gone or damaged writes it back as it was. All
copies are lost only when every loop dies. Nothing is written while the operator wants the swarm stopped.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from config.record import dataclass
from state.files import codec, snapshot
from state.files.layout import Roots
from state.files.tree import fitting, record_of
from state.host.clock import SystemClock
from state.records import healing, orders
from state.records.server import Server

_JOURNAL_BYTES = 20_000_000  # limit of healing.jsonl, because this writer does not know the settings


@dataclass(frozen=True)
class Kept:
    """A file as it was when it was last whole."""

    mark: tuple[int, int, int]
    data: bytes


class Spare:
    """The copies that one process keeps."""

    def __init__(self, roots: Roots, by: str) -> None:
        self._roots, self._by = roots, by
        self._kept: dict[Path, Kept] = {}

    def look(self) -> None:
        """Remember the records that are whole, and write back those that no longer are.

        Raises:
            OSError: the disk is full, for instance; the next look tries again.
        """
        if self._roots.tombstone.exists():
            return
        for path, is_whole in list(self._records()):
            mark = _mark(path)
            kept = self._kept.get(path)
            # Unchanged files are not read: this runs after every cycle of every loop.
            if mark is not None and kept is not None and kept.mark == mark:
                continue
            tree = snapshot.read_json(path)
            if tree is not None and is_whole(tree):
                self._kept[path] = Kept(mark or (0, 0, 0), path.read_bytes())
            elif kept is not None:
                self._restore(path, kept.data)
        if (done := orders.restored(self._roots)) is not None:
            self._tell(done[0], "record_lost", "gone or damaged", done[1])

    def _records(self) -> Iterator[tuple[Path, Callable[[Any], bool]]]:
        """Yield each record's path and the check of whether it is whole.

        The pointer comes first, because it says which run the further records are of. When its file is gone, the copy
        in memory says so.
        """
        roots = self._roots
        yield roots.current_run, lambda tree: bool(orders.pointed(tree))
        yield roots.settings, lambda tree: isinstance(tree, dict) and isinstance(tree.get("swarm"), dict)
        yield roots.swarm, is_server
        kept = self._kept.get(roots.current_run)
        run_id = orders.pointer(roots) or (orders.pointed(codec.decode(kept.data)) if kept is not None else "")
        if run_id:
            folder = roots.swarm_run(run_id)
            yield folder.order, lambda tree: orders.is_newer(tree) or orders.of_tree(tree, run_id) is not None
            for one in folder.rounds()[-1:]:
                yield one.begun, lambda tree: not fitting(orders.Begun, tree)[1]

    def _restore(self, path: Path, data: bytes) -> None:
        """Write a record back unless a file is there by now: a new run, or another loop, may have been faster."""
        is_damaged = _mark(path) is not None
        aside = snapshot.set_aside(path).name if is_damaged else ""
        if not snapshot.write_new(path, data):
            return
        event, what = ("record_damaged", f"damaged; it is kept as {aside}") if aside else ("record_lost", "gone")
        name = str(path.relative_to(self._roots.state))
        self._tell(name, event, what, "written back from the memory of that loop")

    def _tell(self, record: str, event: str, what: str, how: str) -> None:
        events = healing.rebuilt(record, event, what, self._by, how)
        healing.record(self._roots, SystemClock(), events, _JOURNAL_BYTES)


def is_server(tree: Any) -> bool:
    """Whether a value is the record of a tmux server."""
    try:
        return bool(record_of(Server, tree).label)
    except ValueError:
        return False


def _mark(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.lstat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
