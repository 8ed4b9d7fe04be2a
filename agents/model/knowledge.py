"""What advisers look at besides the records of the swarm: logs since a place, documents as they stand, outcomes.

Each part is seen only by the agent that asks for it (`sees`), because it costs reading.
"""

from typing import Any

from config.record import dataclass, field
from state.records.agent_states import Counts
from state.records.report_parts import Best


@dataclass(frozen=True)
class Place:
    """How far a log was read: `generation` names the file by its first line, so that a rotation is noticed."""

    generation: str = ""
    offset: int = 0


@dataclass(frozen=True)
class Logged:
    """One line of a log, and the place behind it. `event_id` is a hash of the line."""

    event_id: str
    source: str
    behind: Place
    record: dict[str, Any]


@dataclass(frozen=True)
class Knowledge:
    """The curator's documents as they stand, in short, and what happened since it last looked (`sees`: knowledge).

    `failures`: signature → the last event it counts. `findings`: the ids that the knowledge base holds. `notes` and
    `story`: what stands between the markers now, None when there is no such block or more than one.
    """

    events: tuple[Logged, ...] = ()
    failures: dict[str, str] = field(default_factory=dict)
    is_damaged: bool = False  # the failure memory is there and is no array
    findings: tuple[str, ...] = ()
    notes: str | None = None
    story: str | None = None
    deeds: dict[str, dict[str, Counts]] = field(default_factory=dict)  # agent → its tally (agents/runtime/tally.py)
    as_of: str = ""  # when the newest of the records that the notes are made of was written


@dataclass(frozen=True)
class UnitOutcome:
    """What one round of a symbol and mode came to, in short (`sees`: outcomes).

    `tries`: how many were made up to then, over all rounds. `bests`: by name. `manifest`: the SHA-256 of that file.
    """

    symbol: str
    mode: str
    round: int
    verdict: str | None = None
    synthetic: bool | None = None
    bests: dict[str, Best] = field(default_factory=dict)
    tries: int | None = None
    manifest: str | None = None

    @property
    def unit(self) -> str:
        """The symbol and mode in words."""
        return f"{self.symbol} {self.mode}"

    @property
    def candidates(self) -> tuple[str, ...]:
        """Its bests that are candidates for trading."""
        return tuple(name for name, best in self.bests.items() if best.candidate is True)


@dataclass(frozen=True)
class Audit:
    """What only an audit asks (`sees`: audit)."""

    writers: dict[str, str] = field(default_factory=dict)  # agent → who its state file says wrote it
    loops: dict[str, int] = field(default_factory=dict)  # agent → the pid of its loop
    bad_tails: dict[str, int] = field(default_factory=dict)  # log → lines near its end that are no records
    handoffs: tuple[str, ...] = ()  # names of handoff files, oldest first
    finished_at: str = ""  # when the run was marked complete; "" when it is not, or nobody wrote it down
