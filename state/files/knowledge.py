"""Where the documents lie that grow from run to run: a folder of its own, so that running never dirties a checkout."""

from datetime import datetime
from pathlib import Path

from config.record import dataclass


@dataclass(frozen=True)
class KnowledgeFolder:
    """`docs/reference` under RESULTS_ROOT, or where the settings say: what is known from run to run."""

    path: Path

    @property
    def failures(self) -> Path:
        """Every kind of failure ever met, once."""
        return self.path / "FAILURE_POINTS_BACKTEST_OPTIMIZE.json"

    @property
    def findings(self) -> Path:
        """What was found out, append-only."""
        return self.path / "KNOWLEDGE_BASE_BACKTEST.md"

    @property
    def evidence(self) -> Path:
        """Copies of the manifests that findings rest on."""
        return self.path / "evidence"

    @property
    def notes(self) -> Path:
        """How things stand, between the AUTO-WORKFLOW-NOTES markers."""
        return self.path / "WORKFLOW_NOTES.md"

    @property
    def story(self) -> Path:
        """What every action was expected to do, and whether it did."""
        return self.path / "WORKFLOW_EXPECTED_OUTCOMES_STATEFUL.md"

    def handoff(self, moment: datetime, number: int = 1) -> Path:
        """The handoff of that minute; `number` 2 and on when there is one already."""
        more = "" if number == 1 else f"_{number}"
        return self.path / f"HANDOFF_SWARM_RUN_{moment:%Y-%m-%d_%H%MZ}{more}.md"

    def handoffs(self) -> list[Path]:
        """All of them, oldest first (their names sort by time)."""
        return sorted(self.path.glob("HANDOFF_SWARM_RUN_*.md"))
