"""The record of the swarm's tmux server, for repairs, and for judging how old sessions and state files may be."""

import os
from pathlib import Path

from config.record import dataclass, field
from state.files import snapshot
from state.files.layout import Roots
from state.files.tree import record_of
from state.host.identity import Identity


@dataclass(frozen=True)
class Server:
    """The swarm's tmux server: the label of its socket, the folder of the sockets, and its process once it runs."""

    label: str
    folder: str
    process: Identity | None = None
    sessions: tuple[str, ...] = ()
    fresh_for_s: dict[str, float] = field(default_factory=dict)  # state file → how many seconds old it may be
    # session → when it was started, monotonic, of the process's boot
    began_s: dict[str, float] = field(default_factory=dict)
    # Session → since when its agent's first cycle is awaited, and how often it was started since then.
    awaited: dict[str, tuple[float, int]] = field(default_factory=dict)

    @property
    def socket(self) -> Path:
        """The path of the server's socket."""
        return Path(self.folder) / f"tmux-{os.getuid()}" / self.label


def recorded(roots: Roots) -> Server | None:
    """Return the server on file; None when there is none, or its record is damaged."""
    record = snapshot.read_json(roots.swarm)
    try:
        return record_of(Server, record)
    except ValueError:
        return None
