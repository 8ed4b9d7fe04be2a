"""What advisers see besides the swarm's records: new lines of logs, the documents as they stand, and outcomes.

Reading these costs time, so each part is shown only to the agents that ask for it (`sees`).
"""

from typing import Any

from config.record import dataclass, field
from state.records.agent_states import Counts
from state.records.report_parts import BestResult


@dataclass(frozen=True)
class Place:
    """How far a log was read. `generation` identifies the file by its first line, so that a rotation is noticed."""

    generation: str = ""
    offset: int = 0


@dataclass(frozen=True)
class Logged:
    """One line of a log. `behind` is the place where the next line begins, `event_id` a hash of the line."""

    event_id: str
    source: str
    behind: Place
    record: dict[str, Any]


@dataclass(frozen=True)
class Knowledge:
    """A summary of the curator's documents, and the events since the curator last looked (`sees`: knowledge).

    `failures` maps a signature to the last event that was counted under it. `findings` holds the ids in the knowledge
    base. `notes` and `story` hold the text that stands between the markers now; None means that the file has no such
    block, or more than one.
    """

    events: tuple[Logged, ...] = ()
    failures: dict[str, str] = field(default_factory=dict)
    is_damaged: bool = False  # the file of the failure memory is there, and holds no JSON array
    findings: tuple[str, ...] = ()
    notes: str | None = None
    story: str | None = None
    deeds: dict[str, dict[str, Counts]] = field(default_factory=dict)  # agent → its tally (agents/runtime/tally.py)
    as_of: str = ""  # when the newest of the records that the notes are made of was written


@dataclass(frozen=True)
class UnitOutcome:
    """The outcome of one round of a symbol and mode, in short (`sees`: outcomes).

    `tries` counts the strategies tried up to then, over all rounds. `bests` holds the best strategies by name.
    `manifest` is the SHA-256 of the result's manifest.
    """

    symbol: str
    mode: str
    round: int
    verdict: str | None = None
    synthetic: bool | None = None
    bests: dict[str, BestResult] = field(default_factory=dict)
    tries: int | None = None
    manifest: str | None = None

    @property
    def unit(self) -> str:
        """The symbol and the mode, with a space between them."""
        return f"{self.symbol} {self.mode}"

    @property
    def candidates(self) -> tuple[str, ...]:
        """The names of those best strategies that are candidates for trading."""
        return tuple(name for name, best in self.bests.items() if best.candidate is True)


@dataclass(frozen=True)
class Audit:
    """What only process_auditor looks at (`sees`: audit)."""

    writers: dict[str, str] = field(default_factory=dict)  # agent → the writer that its state file names
    loops: dict[str, int] = field(default_factory=dict)  # agent → the pid of its loop
    bad_tails: dict[str, int] = field(default_factory=dict)  # log → how many lines near its end hold no record
    handoffs: tuple[str, ...] = ()  # names of handoff files, oldest first
    finished_at: str = ""  # when the run was marked complete; "" when it is not complete, or its record holds no time
