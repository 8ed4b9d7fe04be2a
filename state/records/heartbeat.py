"""The heartbeat of a worker: its identity, its job, and its counter of progress, by which hangs are judged.

No thread writes it, because a heartbeat that goes on while the work hangs would hide the hang.
"""

import os
from pathlib import Path

from config.record import dataclass, replace
from state.files import codec, private
from state.files.tree import tree_of
from state.host.clock import Clock, stamp
from state.host.identity import Identity
from state.records.screening import Screening

_EVERY_S = 1.0  # seconds between two writes; a worker may report progress a thousand times a second


@dataclass(frozen=True)
class Heartbeat:
    """A worker has done `done` of `total` steps of `phase`. `progressed_at_s` is monotonic, of `identity.boot_id`."""

    worker_id: str
    job_id: str
    epoch: int
    identity: Identity
    phase: str
    done: int
    total: int
    rate_per_s: float | None
    note: str
    beats: int
    progressed_at_s: float
    at: str
    screening: Screening | None = None  # only of a prescreen, from its first step on


class Pulse:
    """The writer of a worker's own heartbeat file."""

    def __init__(self, path: Path, clock: Clock, last: Heartbeat) -> None:
        self.path, self.clock, self.last = path, clock, last
        self._written_at_s = float("-inf")
        self._began: tuple[float, int] | None = None

    def at(self, done: int, total: int, note: str = "") -> bool:
        """Report progress, `done` of `total`; return whether the file was written: at the end, else once a second."""
        now = self.clock.monotonic_s()
        if self._began is None:
            self._began = (now, done)
        elapsed, gained = now - self._began[0], done - self._began[1]
        self.last = replace(
            self.last,
            done=done,
            total=total,
            note=note,
            rate_per_s=round(gained / elapsed, 3) if elapsed > 0 and gained > 0 else None,
            beats=self.last.beats + 1,
            progressed_at_s=now,
        )
        # The last step is always written, so that a finished worker never looks unfinished.
        if now - self._written_at_s < _EVERY_S and done < total:
            return False
        self.write()
        return True

    def screens(self, screening: Screening) -> None:
        """Report how fast a prescreen goes; the next write puts it on disk."""
        self.last = replace(self.last, screening=screening)

    def write(self) -> None:
        """Write the heartbeat atomically and without fsync: a power cut would end the worker, too."""
        self._written_at_s = self.clock.monotonic_s()
        self.last = replace(self.last, at=stamp(self.clock.now()))
        private.folder(self.path.parent)
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        temporary.touch(0o600)
        temporary.write_bytes(codec.encode(tree_of(self.last)))
        temporary.replace(self.path)
