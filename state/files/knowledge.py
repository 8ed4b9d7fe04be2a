"""The folder of the documents that grow from run to run. It is no part of the checkout, so a run never changes that."""

from datetime import datetime
from pathlib import Path

from config.record import dataclass


@dataclass(frozen=True)
class KnowledgeFolder:
    """The documents that grow from run to run, in `docs/reference` under RESULTS_ROOT or where the settings say."""

    path: Path

    @property
    def failures(self) -> Path:
        """The failure memory: every kind of failure that ever occurred, once."""
        return self.path / "FAILURE_POINTS_BACKTEST_OPTIMIZE.json"

    @property
    def findings(self) -> Path:
        """The knowledge base: all findings, append-only."""
        return self.path / "KNOWLEDGE_BASE_BACKTEST.md"

    @property
    def evidence(self) -> Path:
        """The copies of the manifests that findings rest on."""
        return self.path / "evidence"

    @property
    def notes(self) -> Path:
        """The workflow notes: the present state, between the AUTO-WORKFLOW-NOTES markers."""
        return self.path / "WORKFLOW_NOTES.md"

    @property
    def story(self) -> Path:
        """The page of what every action was expected to do, and whether it did."""
        return self.path / "WORKFLOW_EXPECTED_OUTCOMES_STATEFUL.md"

    def handoff(self, moment: datetime, number: int = 1) -> Path:
        """Return the path of a handoff of that minute; further ones of the same minute have the numbers 2, 3, …"""
        more = "" if number == 1 else f"_{number}"
        return self.path / f"HANDOFF_SWARM_RUN_{moment:%Y-%m-%d_%H%MZ}{more}.md"

    def handoffs(self) -> list[Path]:
        """Return all handoffs, the oldest first, because their names sort by time."""
        return sorted(self.path.glob("HANDOFF_SWARM_RUN_*.md"))
