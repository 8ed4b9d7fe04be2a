"""The tmux server of this swarm, as a record: found again by whoever repairs it, read by everybody who judges ages."""

import os
from pathlib import Path

from config.record import dataclass, field
from state.files import snapshot
from state.files.layout import Roots
from state.files.tree import record_of
from state.host.identity import Identity


@dataclass(frozen=True)
class Server:
    """Which tmux server is ours: the socket's label, the folder sockets lie in, and its process once it runs."""

    label: str
    folder: str
    process: Identity | None = None
    sessions: tuple[str, ...] = ()
    fresh_for_s: dict[str, float] = field(default_factory=dict)  # state file → how old it may be
    began_s: dict[str, float] = field(default_factory=dict)  # session → when it was started, within the process's boot
    # Session → since when its agent's first cycle is waited for, and how often it was started since then.
    awaited: dict[str, tuple[float, int]] = field(default_factory=dict)

    @property
    def socket(self) -> Path:
        """Its socket."""
        return Path(self.folder) / f"tmux-{os.getuid()}" / self.label


def recorded(roots: Roots) -> Server | None:
    """The server on file, if one was ever made for this root."""
    record = snapshot.read_json(roots.swarm)
    try:
        return record_of(Server, record)
    except ValueError:
        return None
