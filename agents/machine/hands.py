"""What the methods that carry out actions share: the roots, the run, the acting agent, and small helpers."""

from collections.abc import Sequence
from typing import Any

from config.swarm import SwarmSettings
from state.files import snapshot
from state.files.journal import Journal
from state.files.knowledge import KnowledgeFolder
from state.files.layout import Roots
from state.host import wake
from state.host.clock import Clock, stamp
from state.host.identity import Tree
from state.records import healing
from state.records.jobs import JobJournal


class Hands:
    """The paths, settings, clock and run with which one cycle of one agent acts."""

    def __init__(
        self, roots: Roots, limits: SwarmSettings, clock: Clock, run_id: str, round_number: int, by: str = ""
    ) -> None:
        self._roots, self._limits, self._clock = roots, limits, clock
        self._run_id, self._round = run_id, round_number
        self._by = by  # the agent whose loop runs this cycle

    def _tree(self, worker_id: str, nonce: str) -> Tree:
        """Return the processes of a launch. Its run is the one in the launch record, whatever run is under way."""
        record = snapshot.read_json(self._roots.launch(worker_id))
        run_id = record.get("run_id") if isinstance(record, dict) else None
        return Tree.of(self._roots.state, nonce, str(run_id), worker_id)

    @property
    def _knowledge(self) -> KnowledgeFolder:
        return self._roots.knowledge(self._limits.records.knowledge_folder)

    def _jobs(self, number: int | None = None) -> JobJournal:
        return JobJournal(self._journal(number), self._clock)

    def _journal(self, number: int | None = None) -> Journal:
        folder = self._roots.swarm_run(self._run_id).round(self._round if number is None else number)
        return Journal(folder.jobs)

    @property
    def _record_bytes(self) -> int:
        return self._limits.records.journal_mb * 1_000_000

    def _nudge(self, agent: str) -> None:
        wake.nudge(self._roots.pipe(agent))

    def _tell(self, records: list[dict[str, Any]]) -> None:
        healing.record(self._roots, self._clock, records, self._record_bytes)

    def _append(self, journal: Journal, events: Sequence[dict[str, Any]]) -> None:
        """Append events, each once: an event with a mark may be there already, if its writer lost its memory since."""
        at = stamp(self._clock.now())
        held = healing.marks(journal.path) if any("mark" in event for event in events) else frozenset()
        new = [event for event in events if (event.get("mark"), event["event"]) not in held]
        # An event that brings its own time keeps it in `at`; `told_at` is when it was written here.
        journal.append(*({"at": at, **event, **({"told_at": at} if "at" in event else {})} for event in new))
